//! What a forward pass is given: whether it is recorded, and where its random numbers come from.

use crate::rng::{Purpose, key};
use crate::{Grads, Param, Tape, Tensor};
use std::cell::Cell;

/// The context of one forward pass: a tape or none, dropout or none. There are no global switches.
#[derive(Default)]
pub struct Ctx {
    tape: Option<Tape>,
    dropout: Option<Dropout>,
    recompute: bool,
}

struct Dropout {
    seed: u64,
    step: u64,
    first_sample: u32,
    sites: Cell<u32>,
}

/// Where in a model a dropout mask is drawn: its random stream, and the number of its first row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DropoutSite {
    /// The stream's key, of (seed, step, site).
    pub key: [u32; 2],
    /// The index, within the accumulation window, of the first row of the batch. With it the mask of a row depends
    /// on the row and not on how the window was cut into micro-batches.
    pub first_sample: u32,
}

impl Ctx {
    /// Nothing recorded, no dropout: for scoring.
    #[must_use]
    pub fn eval() -> Self {
        Self::default()
    }

    /// Recorded, without dropout: for gradient checks.
    #[must_use]
    pub fn grad() -> Self {
        Self { tape: Some(Tape::new()), ..Self::default() }
    }

    /// Recorded, with dropout, for rows `first_sample..` of the accumulation window of update `step`.
    #[must_use]
    pub fn train(seed: u64, step: u64, first_sample: u32) -> Self {
        let dropout = Dropout { seed, step, first_sample, sites: Cell::new(0) };
        Self { tape: Some(Tape::new()), dropout: Some(dropout), recompute: false }
    }

    /// The same pass, with or without the saving of memory that [`Ctx::checkpoint`] offers.
    #[must_use]
    pub fn recompute(self, recompute: bool) -> Self {
        Self { recompute, ..self }
    }

    /// Runs a part of a model (a layer) whose activations need not be kept: where this pass recomputes, the tape
    /// holds what went into the part, and the backward pass computes the rest again ([`Tape::checkpoint`]). The
    /// numbers are the same to the last bit.
    pub fn checkpoint<T>(&self, part: impl FnOnce() -> T) -> T {
        match &self.tape {
            Some(tape) if self.recompute => tape.checkpoint(part),
            _ => part(),
        }
    }

    /// A parameter's value, tracked if this pass is recorded.
    #[must_use]
    pub fn param(&self, param: &Param) -> Tensor {
        match &self.tape {
            Some(tape) => tape.param(param),
            None => param.value().clone(),
        }
    }

    /// The next dropout site, or None if this pass has no dropout. Sites are numbered in the order of the forward
    /// pass, which is the same every step.
    #[must_use]
    pub fn dropout_site(&self) -> Option<DropoutSite> {
        let d = self.dropout.as_ref()?;
        let site = d.sites.get();
        d.sites.set(site + 1);
        let key = key(d.seed, Purpose::Dropout, d.step, site);
        Some(DropoutSite { key, first_sample: d.first_sample })
    }

    /// Whether this pass drops anything out.
    #[must_use]
    pub fn has_dropout(&self) -> bool {
        self.dropout.is_some()
    }

    /// The tape, if this pass is recorded.
    #[must_use]
    pub fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// The gradients of a scalar that this pass computed.
    ///
    /// # Panics
    /// If this pass is not recorded (see [`Tensor::backward`]).
    #[must_use]
    #[track_caller]
    pub fn backward(&self, loss: &Tensor) -> Grads {
        loss.backward()
    }
}
