//! The number type of a tensor's elements.

use crate::Shape;
use std::fmt;

/// The type of an element.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DType {
    /// Training.
    F32,
    /// Gradient checks and exact scoring.
    F64,
    /// Token ids, targets and masks: never differentiated.
    U32,
}

impl DType {
    /// Bytes an element takes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F64 => 8,
        }
    }

    /// Whether elements are real numbers (and so may have gradients).
    #[must_use]
    pub const fn is_float(self) -> bool {
        !matches!(self, Self::U32)
    }

    /// The dtype of a kernel's number type.
    #[must_use]
    pub fn of<R: crate::Real>() -> Self {
        if size_of::<R>() == 4 { Self::F32 } else { Self::F64 }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::U32 => "u32",
        })
    }
}

/// What is known of a tensor before it exists: its shape and element type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spec {
    /// Extent along each axis.
    pub shape: Shape,
    /// Type of an element.
    pub dtype: DType,
}

impl Spec {
    /// The spec of a tensor of this shape and type.
    pub fn new(shape: impl Into<Shape>, dtype: DType) -> Self {
        Self { shape: shape.into(), dtype }
    }

    /// The same type in another shape.
    #[must_use]
    pub fn with_shape(self, shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), ..self }
    }

    /// The number of elements.
    #[must_use]
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// The memory that the elements take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.numel() * self.dtype.bytes()
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}
