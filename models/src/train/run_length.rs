//! How many updates a run has: the end that everything else is measured against.
//!
//! An epoch uses every sequence once. `N` sequences make `ceil(N / batch)` micro-batches, and these
//! make `ceil(micro-batches / accumulation)` updates: nothing is left out, so the last micro-batch
//! of an epoch may have fewer sequences, and its last update fewer micro-batches (the loss is a
//! mean over real tokens, so a short one weighs no more than it should). An update never reaches
//! over the end of an epoch.

/// What a configuration asks for; the run ends at whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Passes over the data.
    pub epochs: Option<u64>,
    /// Updates.
    pub train_steps: Option<u64>,
    /// Tokens; the run ends with the update that reaches them.
    pub train_tokens: Option<u64>,
}

/// What the data and the batch are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochShape {
    /// Sequences in an epoch.
    pub sequences: u64,
    /// Tokens in all of them. Where they differ in length, a number of tokens is reached by their mean.
    pub tokens: u64,
    /// Sequences in a micro-batch.
    pub batch_size: u64,
    /// Micro-batches in an update.
    pub accumulation: u64,
}

/// The length of a run, in updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLength {
    /// Micro-batches in an epoch.
    pub batches_per_epoch: u64,
    /// Updates in an epoch.
    pub steps_per_epoch: u64,
    /// Updates in the run.
    pub total_steps: u64,
    /// What ends it.
    pub ends_by: EndsBy,
}

/// What ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndsBy {
    /// `training.epochs`.
    Epochs,
    /// `training.train_steps`.
    TrainSteps,
    /// `training.train_tokens`.
    TrainTokens,
}

impl RunLength {
    /// The epochs that the run begins, the last of which may be cut short.
    pub fn epochs(&self) -> u64 {
        self.total_steps.div_ceil(self.steps_per_epoch)
    }
}

/// Why a run has no length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RunLengthError {
    /// No data.
    #[error(
        "there is no sequence to train on: the corpus is shorter than one block of \
         data.max_sequence_length tokens"
    )]
    NoData,
    /// No end.
    #[error("the run has no end: set training.epochs, train_steps or train_tokens")]
    NoEnd,
}

/// The length of a run.
///
/// # Errors
/// [`RunLengthError`] where there is no data, or no limit.
pub fn run_length(shape: EpochShape, limits: Limits) -> Result<RunLength, RunLengthError> {
    let EpochShape { sequences, tokens: epoch_tokens, batch_size, accumulation } = shape;
    if sequences == 0 || epoch_tokens == 0 {
        return Err(RunLengthError::NoData);
    }
    let batches_per_epoch = sequences.div_ceil(batch_size.max(1));
    let steps_per_epoch = batches_per_epoch.div_ceil(accumulation.max(1));
    let by_tokens = |tokens: u64| {
        let wanted = (u128::from(tokens) * u128::from(sequences)).div_ceil(epoch_tokens.into());
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        let (whole, rest) = (wanted / sequences, wanted % sequences);
        let window = batch_size.max(1).saturating_mul(accumulation.max(1));
        whole.saturating_mul(steps_per_epoch).saturating_add(rest.div_ceil(window))
    };
    let ends = [
        (limits.epochs.map(|n| n.saturating_mul(steps_per_epoch)), EndsBy::Epochs),
        (limits.train_steps, EndsBy::TrainSteps),
        (limits.train_tokens.map(by_tokens), EndsBy::TrainTokens),
    ];
    let (total_steps, ends_by) = ends
        .into_iter()
        .filter_map(|(end, by)| Some((end?, by)))
        .min_by_key(|(end, _)| *end)
        .ok_or(RunLengthError::NoEnd)?;
    Ok(RunLength { batches_per_epoch, steps_per_epoch, total_steps, ends_by })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: EpochShape =
        EpochShape { sequences: 100, tokens: 800, batch_size: 8, accumulation: 4 };

    fn length(limits: Limits) -> RunLength {
        run_length(SHAPE, limits).unwrap()
    }

    #[test]
    fn test_run_length__every_sequence_is_used_and_the_last_window_is_short() {
        // Arrange: 100 sequences: 12 micro-batches of 8 and one of 4; windows of 4, 4, 4, 1.
        // Act
        let run = length(Limits { epochs: Some(3), ..Limits::default() });
        // Assert
        assert_eq!((run.batches_per_epoch, run.steps_per_epoch, run.total_steps), (13, 4, 12));
        assert_eq!(run.epochs(), 3);
    }

    #[test]
    fn test_d21__accumulation_shortens_the_horizon_and_nothing_else() {
        // The original counted micro-batches as steps: with accumulation 8 the rate covered an
        // eighth of its schedule. The horizon here is in updates.
        let shape = EpochShape { sequences: 64, batch_size: 1, accumulation: 8, ..SHAPE };
        let run = run_length(shape, Limits { epochs: Some(2), ..Limits::default() }).unwrap();
        assert_eq!(run.total_steps, 16);
        let rate = super::super::learning_rate::LearningRate {
            shape: super::super::learning_rate::LrShape::Linear,
            peak: 1.0,
            floor: 0.0,
            warmup_steps: 0,
            total_steps: run.total_steps,
            reductions: 0,
        };
        let trace: Vec<f64> = (1..=16).map(|u| rate.at(u)).collect();
        let want: Vec<f64> = (0..16).map(|s| f64::from(16 - s) / 16.0).collect();
        assert_eq!(trace, want);
    }

    #[test]
    fn test_d11__a_run_ends_at_whichever_limit_comes_first() {
        // The original's shipped example: a million steps asked for, 20 epochs of 290 steps there.
        let shape = EpochShape { sequences: 290, batch_size: 1, accumulation: 1, ..SHAPE };
        let limits = Limits { epochs: Some(20), train_steps: Some(1_000_000), train_tokens: None };
        let run = run_length(shape, limits).unwrap();
        assert_eq!((run.total_steps, run.ends_by), (5800, EndsBy::Epochs));
        let run = run_length(shape, Limits { train_steps: Some(1000), ..limits }).unwrap();
        assert_eq!((run.total_steps, run.ends_by, run.epochs()), (1000, EndsBy::TrainSteps, 4));
    }

    #[test]
    fn test_run_length__tokens_end_the_run_with_the_update_that_reaches_them() {
        let steps = |n| length(Limits { train_tokens: Some(n), ..Limits::default() }).total_steps;
        // A whole window has 8 * 4 sequences of 8 tokens.
        assert_eq!(steps(1), 1);
        assert_eq!(steps(256), 1);
        assert_eq!(steps(257), 2);
        // An epoch has 800 tokens in 4 updates, the last of 32 tokens.
        assert_eq!(steps(800), 4);
        assert_eq!(steps(801), 5);
        assert_eq!(steps(1600 + 256), 9);
    }

    #[test]
    fn test_run_length__no_data_and_no_end_are_errors() {
        let empty = EpochShape { sequences: 0, ..SHAPE };
        let limits = Limits { epochs: Some(1), ..Limits::default() };
        assert_eq!(run_length(empty, limits), Err(RunLengthError::NoData));
        assert_eq!(run_length(SHAPE, Limits::default()), Err(RunLengthError::NoEnd));
    }

    #[test]
    fn test_run_length__huge_limits_do_not_overflow() {
        let limits = Limits { epochs: Some(u64::MAX), ..Limits::default() };
        assert_eq!(length(limits).total_steps, u64::MAX);
        let limits = Limits { train_tokens: Some(u64::MAX), ..Limits::default() };
        assert!(length(limits).total_steps > 1 << 55);
    }
}
