//! The collator that the objective asks for.

use crate::collate::{CausalLMDataCollator, Collator, MaskedLMDataCollator};
use crate::config::Config;
use crate::error::Error;
use crate::tokenizer::Tokenizer;
use std::sync::Arc;

/// Makes rows into batches as the objective of the configuration wants them.
///
/// # Errors
/// Masked language modelling with a tokenizer that has no mask token: one that was made for something else.
pub(super) fn collator(config: &Config, tokenizer: &Tokenizer) -> Result<Arc<dyn Collator>, Error> {
    let ids = tokenizer.special_ids();
    let Some(masking) = &config.training.masking else {
        let pad = ids.pad.or(ids.end()).unwrap_or(0);
        return Ok(Arc::new(CausalLMDataCollator::new(pad)));
    };
    match MaskedLMDataCollator::new(masking, ids, tokenizer.vocab_size()) {
        Some(collator) => Ok(Arc::new(collator)),
        None => Err(Error::Usage(format!(
            "objective masked_lm needs a mask token, and the tokenizer in {} has none\n  mend: give \
             tokenizer.output_dir a folder whose tokenizer has one, or a new folder, for a tokenizer to be trained",
            config.tokenizer.output_dir.display()
        ))),
    }
}
