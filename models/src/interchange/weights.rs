//! Weights under the names, and in the number formats, that others write.
//!
//! | file | differs by |
//! |---|---|
//! | `GPT2Model` | no `transformer.` before names |
//! | GPT-2 before transformers 4.30 | the causal mask as a tensor (`attn.bias`), skipped |
//! | tied models | sometimes the shared tensor a second time: must be equal |
//! | BERT of 2018 | `gamma` and `beta` for the weight and bias of a LayerNorm |
//! | `BertForPreTraining` | a pooler and a next-sentence head, skipped and said |
//! | f16, bf16, f64 | converted to f32 |

use super::InterchangeError;
use crate::arch::LanguageModel;
use crate::error::Error;
use crate::tensors::{ElementType, TensorFile, TensorFileError};
use foundry_engine::{Tensor, for_each_param, for_each_param_mut};
use std::collections::{BTreeMap, HashMap};

/// Where a file has a tensor under a name that no rule gives; None for one that it lacks and that is zero.
pub(super) type Renamed = BTreeMap<String, Option<String>>;

/// Reads a model's parameters from a file; every one must be there in its shape, and nothing else of weight. Gives
/// back what is to be told.
pub(super) fn load(
    model: &mut dyn LanguageModel,
    file: TensorFile,
    name: &str,
    renamed: &Renamed,
) -> Result<Vec<String>, Error> {
    let types = file.tensors().map(|(name, dtype, _)| (name.to_owned(), dtype)).collect();
    let mut source = Source { file, name, types, notes: Vec::new() };
    let mut values: HashMap<String, Vec<f32>> = HashMap::new();
    let mut wanted: Vec<(String, Vec<usize>)> = Vec::new();
    for_each_param(model, |name, p| {
        wanted.push((name.to_owned(), p.value().shape().as_slice().to_vec()));
    });
    for (name, shape) in &wanted {
        let value = match renamed.get(name) {
            Some(None) => vec![0.0; shape.iter().product()],
            Some(Some(other)) => source.take(other, shape)?,
            None => source.take(&source.spelling(name), shape)?,
        };
        values.insert(name.clone(), value);
    }
    source.extras(&values)?;
    let notes = source.notes;
    source.file.finish()?;
    for_each_param_mut(model, |name, p| {
        if let Some(value) = values.get(name) {
            let tensor = Tensor::from_f32(&p.value().device(), *p.value().shape(), value);
            p.set(&tensor);
        }
    });
    Ok(notes)
}

struct Source<'a> {
    file: TensorFile,
    name: &'a str,
    types: HashMap<String, ElementType>,
    notes: Vec<String>,
}

/// The second tensor that a tied model may have, and the one that it must be equal to.
const TIED: [(&str, &str); 4] = [
    ("lm_head.weight", "transformer.wte.weight"),
    ("lm_head.weight", "embed.weight"),
    ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    ("cls.predictions.decoder.bias", "cls.predictions.bias"),
];

impl Source<'_> {
    /// The name that the file has for a parameter; the parameter's own if it has none.
    fn spelling(&self, name: &str) -> String {
        let old = name
            .replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta");
        let bare = name.strip_prefix("transformer.").unwrap_or(name).to_owned();
        // transformers 4 left out the second name of BERT's output bias, untied or not.
        let short = name.replace("decoder.bias", "bias");
        let spellings = [name.to_owned(), old, bare, short];
        let found = spellings.iter().find(|s| self.types.contains_key(*s));
        found.cloned().unwrap_or_else(|| name.to_owned())
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let dtype = self.types.get(name).copied().unwrap_or(ElementType::F32);
        let take = |file: &mut TensorFile| file.take(name, dtype, shape).map(<[u8]>::to_vec);
        let bytes = take(&mut self.file)?;
        let pairs = || bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b));
        let values: Vec<f32> = match dtype {
            ElementType::F32 => {
                bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
            }
            ElementType::BF16 => {
                pairs().map(|bits| f32::from_bits(u32::from(bits) << 16)).collect()
            }
            ElementType::F16 => pairs().map(from_half).collect(),
            #[expect(clippy::cast_possible_truncation, reason = "models compute in f32")]
            ElementType::F64 => {
                bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect()
            }
            found => {
                return Err(TensorFileError::Type {
                    file: self.name.to_owned(),
                    name: name.to_owned(),
                    expected: ElementType::F32,
                    found,
                }
                .into());
            }
        };
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            let problem = format!("holds {} at element {at}; expected finite numbers", values[at]);
            return Err(self.wrong(name, problem).into());
        }
        if dtype != ElementType::F32 && self.notes.iter().all(|n| !n.contains("converted")) {
            self.notes.push(format!("{}: {dtype:?} was converted to F32", self.name));
        }
        Ok(values)
    }

    fn wrong(&self, name: &str, problem: String) -> InterchangeError {
        InterchangeError::Tensor { file: self.name.to_owned(), name: name.to_owned(), problem }
    }

    /// What is left over: copies that must be equal, and what a language model has no use for.
    fn extras(&mut self, values: &HashMap<String, Vec<f32>>) -> Result<(), Error> {
        for (copy, of) in TIED {
            let Some(value) = values.get(of) else { continue };
            if self.file.waiting().any(|name| name == copy) {
                let shape = self.file.shape(copy).unwrap_or_default().to_vec();
                if self.take(copy, &shape)? != *value {
                    let problem = format!(
                        "differs from '{of}', but config.json says that they are one (tie_word_embeddings)\n  \
                         mend: write \"tie_word_embeddings\": false if the model was trained so"
                    );
                    return Err(self.wrong(copy, problem).into());
                }
            }
        }
        let waiting: Vec<String> = self.file.waiting().map(str::to_owned).collect();
        for name in waiting {
            let bare = name.strip_prefix("transformer.").unwrap_or(&name);
            let mask = bare.starts_with("h.")
                && (bare.ends_with(".attn.bias") || bare.ends_with(".attn.masked_bias"));
            // Untied, the output bias is the decoder's own.
            let second = name == "cls.predictions.bias";
            let heads =
                name.starts_with("bert.pooler.") || name.starts_with("cls.seq_relationship.");
            if mask || second || heads || name == "bert.embeddings.position_ids" {
                self.file.skip(&name);
            }
            if heads {
                self.notes.push(format!("{}: '{name}' was left out", self.name));
            }
        }
        Ok(())
    }
}

/// IEEE 754 half precision: 1 bit of sign, 5 of exponent (bias 15), 10 of fraction.
fn from_half(bits: u16) -> f32 {
    let (exponent, fraction) = (bits >> 10 & 0x1f, f32::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1.0 + fraction / 1024.0) * 2f32.powi(i32::from(e) - 15),
    };
    if bits >> 15 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_import__halves_have_their_values() {
        let cases = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x3555, 0.333_251_95),
            (0x8000, -0.0),
        ];
        for (bits, value) in cases {
            assert_eq!(from_half(bits).to_bits(), f32::to_bits(value), "{bits:#x}");
        }
        assert!(from_half(0x7c00).is_infinite() && from_half(0x7e00).is_nan());
    }
}
