//! A trainable tensor.

use crate::{Spec, Tensor};
use std::sync::atomic::{AtomicU64, Ordering};

/// Tells parameters apart within a process; not saved, and no result depends on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ParamId(u64);

/// A trainable tensor. Not `Clone`: tying weights is using one parameter twice.
#[derive(Debug)]
pub struct Param {
    id: ParamId,
    value: Tensor,
}

impl Param {
    /// A parameter with this initial value.
    #[must_use]
    pub fn new(value: Tensor) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: ParamId(NEXT.fetch_add(1, Ordering::Relaxed)), value: value.detach() }
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> ParamId {
        self.id
    }

    /// Its value, not tracked.
    #[must_use]
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Its value, for an optimiser to update in place.
    pub fn value_mut(&mut self) -> &mut Tensor {
        &mut self.value
    }

    /// Replaces the value (loading a checkpoint).
    ///
    /// # Panics
    /// If the new value has another shape or type.
    #[track_caller]
    pub fn set(&mut self, value: &Tensor) {
        assert_eq!(self.value.spec(), value.spec(), "a parameter keeps its shape and type");
        self.value = value.detach();
    }

    /// Shape and type.
    #[must_use]
    pub fn spec(&self) -> Spec {
        self.value.spec()
    }
}
