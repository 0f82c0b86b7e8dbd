//! The extent of a tensor along each of its axes.

use std::fmt;

/// Up to five axes, held in place (no heap). Row-major: the last axis is contiguous.
///
/// ```
/// use foundry_engine::Shape;
/// let shape = Shape::from([2, 3, 4]);
/// let [batch, time, width] = shape.dims();
/// assert_eq!((batch, time, width, shape.numel()), (2, 3, 4, 24));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    dims: [usize; Self::MAX_RANK],
    rank: usize,
}

impl Shape {
    /// The largest number of axes.
    pub const MAX_RANK: usize = 5;

    /// The shape with these extents.
    ///
    /// # Panics
    /// If there are more than five, or if their product overflows.
    #[must_use]
    #[track_caller]
    pub fn new(dims: &[usize]) -> Self {
        assert!(dims.len() <= Self::MAX_RANK, "a shape has at most 5 axes, got {dims:?}");
        let size = dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
        assert!(size.is_some(), "the number of elements of {dims:?} overflows");
        let mut shape = Self { dims: [0; Self::MAX_RANK], rank: dims.len() };
        shape.dims[..dims.len()].copy_from_slice(dims);
        shape
    }

    /// The extents, destructured: `let [b, t, d] = shape.dims();`
    ///
    /// # Panics
    /// If the shape does not have exactly N axes.
    #[must_use]
    #[track_caller]
    pub fn dims<const N: usize>(&self) -> [usize; N] {
        match self.as_slice().try_into() {
            Ok(dims) => dims,
            Err(_) => panic!("expected a tensor with {N} axes, got shape {self}"),
        }
    }

    /// The extents as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// The number of axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of elements (1 for a scalar).
    #[must_use]
    pub fn numel(&self) -> usize {
        self.as_slice().iter().product()
    }

    /// The extent of the last axis (1 for a scalar).
    #[must_use]
    pub fn last(&self) -> usize {
        self.as_slice().last().copied().unwrap_or(1)
    }

    /// The number of rows when all axes but the last are taken together.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.as_slice().split_last().map_or(1, |(_, front)| front.iter().product())
    }

    /// The same shape with another last extent.
    ///
    /// # Panics
    /// If the shape is a scalar's.
    #[must_use]
    #[track_caller]
    pub fn with_last(&self, last: usize) -> Self {
        assert!(self.rank > 0, "a scalar has no last axis");
        let mut shape = *self;
        shape.dims[self.rank - 1] = last;
        shape
    }

    /// The shape to which both broadcast (axes aligned from the right, extents equal or 1), if there is one.
    #[must_use]
    pub fn broadcast(&self, other: &Self) -> Option<Self> {
        let rank = self.rank.max(other.rank);
        let mut out = Self { dims: [0; Self::MAX_RANK], rank };
        for i in 0..rank {
            let extent = |s: &Self| (i + s.rank).checked_sub(rank).map_or(1, |k| s.dims[k]);
            out.dims[i] = match (extent(self), extent(other)) {
                (a, b) if a == b => a,
                (1, n) | (n, 1) => n,
                _ => return None,
            };
        }
        Some(out)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    #[track_caller]
    fn from(dims: [usize; N]) -> Self {
        Self::new(&dims)
    }
}

impl From<&[usize]> for Shape {
    #[track_caller]
    fn from(dims: &[usize]) -> Self {
        Self::new(dims)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_slice())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_shape__broadcasts_from_the_right() {
        let a = Shape::from([2, 1, 4]);
        assert_eq!(a.broadcast(&Shape::from([3, 1])), Some(Shape::from([2, 3, 4])));
        assert_eq!(a.broadcast(&Shape::from([])), Some(a));
        assert_eq!(a.broadcast(&Shape::from([5])), None);
        assert_eq!(Shape::from([0]).broadcast(&Shape::from([1])), Some(Shape::from([0])));
    }

    #[test]
    #[should_panic(expected = "expected a tensor with 2 axes, got shape [2, 1, 4]")]
    fn test_dims__names_the_shape_it_got() {
        let [_, _] = Shape::from([2, 1, 4]).dims();
    }
}
