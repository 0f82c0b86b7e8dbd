//! Views of matrices inside slices.

use crate::Real;
use std::marker::PhantomData;

/// A matrix that is read: element (i, j) is `data[i * row_stride + j * col_stride]`; one of the strides is 1.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a, R> {
    data: &'a [R],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, R: Copy> Mat<'a, R> {
    /// A matrix whose rows follow one another.
    ///
    /// # Panics
    /// `data` is too short.
    #[must_use]
    #[track_caller]
    pub fn new(data: &'a [R], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix whose rows begin `stride` elements apart: a few columns of a wider matrix.
    ///
    /// # Panics
    /// `data` is too short, or the rows overlap.
    #[must_use]
    #[track_caller]
    pub fn strided(data: &'a [R], rows: usize, cols: usize, stride: usize) -> Self {
        check(data.len(), rows, cols, stride);
        Self { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// The transpose.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// How far apart rows begin.
    pub(super) fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// How far apart columns begin.
    pub(super) fn col_stride(&self) -> usize {
        self.col_stride
    }

    pub(super) fn strides_signed(&self) -> (isize, isize) {
        (self.row_stride.cast_signed(), self.col_stride.cast_signed())
    }

    pub(super) fn as_ptr(&self) -> *const R {
        self.data.as_ptr()
    }

    pub(super) fn at(&self, i: usize, j: usize) -> R {
        self.data[i * self.row_stride + j * self.col_stride]
    }

    /// Rows `first .. first + rows`.
    pub(super) fn rows_from(&self, first: usize, rows: usize) -> Self {
        assert!(first + rows <= self.rows, "rows of a matrix");
        Self { data: self.from(first, 0), rows, ..*self }
    }

    /// Columns `first .. first + cols`.
    pub(super) fn cols_from(&self, first: usize, cols: usize) -> Self {
        assert!(first + cols <= self.cols, "columns of a matrix");
        Self { data: self.from(0, first), cols, ..*self }
    }

    /// The memory from element (i, j) on.
    pub(super) fn from(&self, i: usize, j: usize) -> &'a [R] {
        &self.data[i * self.row_stride + j * self.col_stride..]
    }
}

impl<'a, R: Real> Mat<'a, R> {
    /// The same view as f32, which R is.
    pub(super) fn as_f32(&self) -> Mat<'a, f32> {
        let Self { data, rows, cols, row_stride, col_stride } = *self;
        Mat { data: bytemuck::cast_slice(data), rows, cols, row_stride, col_stride }
    }
}

/// A matrix that is written, its rows `stride` elements apart.
#[derive(Debug)]
pub struct MatMut<'a, R> {
    data: *mut R,
    rows: usize,
    cols: usize,
    stride: usize,
    life: PhantomData<&'a mut [R]>,
}

impl<'a, R> MatMut<'a, R> {
    /// A matrix whose rows follow one another.
    ///
    /// # Panics
    /// `data` is too short.
    #[must_use]
    #[track_caller]
    pub fn new(data: &'a mut [R], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix whose rows begin `stride` elements apart; what lies between them is not touched.
    ///
    /// # Panics
    /// `data` is too short, or the rows overlap.
    #[must_use]
    #[track_caller]
    pub fn strided(data: &'a mut [R], rows: usize, cols: usize, stride: usize) -> Self {
        check(data.len(), rows, cols, stride);
        Self { data: data.as_mut_ptr(), rows, cols, stride, life: PhantomData }
    }

    /// The same from a pointer, for pieces of a matrix that threads write side by side (one head of an attention
    /// output): such pieces interleave, so no set of slices describes them.
    ///
    /// # Safety
    /// Element (i, j), at `data + i * stride + j`, is valid for reads and writes for all i < rows, j < cols, and
    /// nothing else reads or writes these elements for `'a`.
    #[must_use]
    #[track_caller]
    pub unsafe fn from_raw(data: *mut R, rows: usize, cols: usize, stride: usize) -> Self {
        check(usize::MAX, rows, cols, stride);
        Self { data, rows, cols, stride, life: PhantomData }
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// The view as f32, which R is.
    pub(super) fn into_f32(self) -> MatMut<'a, f32> {
        assert_eq!(size_of::<R>(), size_of::<f32>());
        let Self { data, rows, cols, stride, life: _ } = self;
        MatMut { data: data.cast(), rows, cols, stride, life: PhantomData }
    }

    /// Row i.
    pub(super) fn row(&mut self, i: usize) -> &mut [R] {
        assert!(i < self.rows);
        // SAFETY: whoever made the view vouched for `cols` elements of each row; `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(i * self.stride), self.cols) }
    }

    /// The memory, for threads that each write elements of their own.
    pub(super) fn shared(&mut self) -> Shared<R> {
        Shared { data: self.data, stride: self.stride }
    }
}

/// A pointer to the elements of a [`MatMut`] that several threads hold.
pub(super) struct Shared<R> {
    data: *mut R,
    stride: usize,
}

// SAFETY: it is only a pointer; who dereferences it promises that no two threads touch the same element.
unsafe impl<R: Send> Send for Shared<R> {}
// SAFETY: as above.
unsafe impl<R: Send> Sync for Shared<R> {}

impl<R> Shared<R> {
    /// The element at this distance from the first.
    ///
    /// # Safety
    /// The distance lies inside the matrix.
    pub(super) unsafe fn at(&self, offset: usize) -> *mut R {
        // SAFETY: inside the allocation, by the caller's promise.
        unsafe { self.data.add(offset) }
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }
}

#[track_caller]
fn check(len: usize, rows: usize, cols: usize, stride: usize) {
    let need = if rows == 0 || cols == 0 { 0 } else { (rows - 1) * stride + cols };
    assert!(
        need <= len && (stride >= cols || rows <= 1),
        "gemm: a [{rows}, {cols}] matrix with rows {stride} apart does not fit {len} elements"
    );
}
