//! Matrix products: `C = alpha A B + beta C`, with an optional bias added to every row of C.
//!
//! [`Mat`] is a view: rows, columns and two strides, so that a transpose costs nothing. f64 goes to matrixmultiply.
//! f32 has its own implementation, after Goto and van de Geijn, *Anatomy of high-performance matrix multiplication*
//! (ACM TOMS 34, 2008):
//!
//! ```text
//! B is packed in panels of NR columns, A in strips of MR rows, both so that the inner loop reads along memory.
//! for each block of NC columns                      the packed B of the block stays within the last-level cache
//!   in parallel: for each block of about MC rows    the packed A of a block stays within L2
//!     for each block of KC of the inner dimension
//!       for each panel of B                         KC x NR floats: stays within L1
//!         for each strip of A                       micro-kernel: an MR x NR tile of C, held in registers
//! ```
//!
//! A factor that already lies along memory, and densely, is read where it is; some products are formed as
//! `C^T = B^T A^T`, so that less is packed. The order in which the products of one element of C are added depends on k
//! alone, and the cut into blocks on the shape alone: the bits of a result do not depend on the number of threads. With
//! beta = 0, C is not read.
//!
//! A weight that multiplies many times (the recurrent weight of an LSTM) is packed once: [`PackedB`].

mod micro;
mod pack;
mod single;
mod turned;
mod vector;
mod view;
pub mod yardstick;

pub use view::{Mat, MatMut};

use super::{isa::Isa, par};
use crate::Real;
use single::{down, up};

/// What happens to an element of C when it is stored for the last time.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a, R> {
    /// Nothing.
    None,
    /// `bias[j]` is added to column j.
    Bias(&'a [R]),
}

/// `C = alpha A B + beta C`, then `epilogue`. With `beta = 0`, C is only written.
///
/// ```
/// use foundry_kernels::cpu::gemm::{Epilogue, Mat, MatMut, gemm};
///
/// let x = [1.0f32, 2.0, 3.0, 4.0];                      // two rows
/// let w = [1.0f32, 1.0, 0.0, 1.0, 2.0, 0.0];            // [out = 3, in = 2], as torch.nn.Linear keeps it
/// let mut y = [f32::NAN; 6];
/// let bias = Epilogue::Bias(&[0.5, 0.0, 0.0]);
/// gemm(1.0, Mat::new(&x, 2, 2), Mat::new(&w, 3, 2).t(), 0.0, MatMut::new(&mut y, 2, 3), bias);
/// assert_eq!(y, [3.5, 2.0, 2.0, 7.5, 4.0, 6.0]);
/// ```
///
/// # Panics
/// The shapes do not fit one another.
pub fn gemm<R: Real>(
    alpha: R,
    a: Mat<'_, R>,
    b: Mat<'_, R>,
    beta: R,
    c: MatMut<'_, R>,
    epilogue: Epilogue<'_, R>,
) {
    gemm_at(Isa::current(), alpha, a, b, beta, c, epilogue);
}

/// [`gemm`] at a given instruction-set level.
pub(crate) fn gemm_at<R: Real>(
    isa: Isa,
    alpha: R,
    a: Mat<'_, R>,
    b: Mat<'_, R>,
    beta: R,
    mut c: MatMut<'_, R>,
    epilogue: Epilogue<'_, R>,
) {
    check(a.rows(), a.cols(), b.rows(), b.cols(), &c, &epilogue);
    if c.rows() == 0 || c.cols() == 0 {
        return;
    }
    if a.cols() == 0 {
        return vector::finish(&mut c, beta, epilogue);
    }
    if vector::is_better(&a, &b) {
        return vector::gemm(isa, alpha, a, b, beta, c, epilogue);
    }
    if single::is_f32::<R>() {
        let bias = epilogue.bias().map(down);
        let (alpha, beta) = (bytemuck::cast(alpha), bytemuck::cast(beta));
        let (a, b, c) = (a.as_f32(), b.as_f32(), c.into_f32());
        if turned::is_better(isa, &a, &b) {
            turned::gemm(isa, alpha, a, b, beta, c, bias);
        } else {
            single::gemm(isa, alpha, a, b, beta, c, bias);
        }
    } else {
        double(alpha, a, b, beta, c, epilogue);
    }
}

/// `C[i] = alpha A[i] B[i] + beta C[i]` for i = 0, 1, ...: `c` holds matrices of `rows` x `cols` one after the
/// other, `a` and `b` give the views of the i-th factors.
///
/// # Panics
/// The shapes do not fit one another, or `c` is not a whole number of matrices.
pub fn gemm_batch<'a, R: Real>(
    alpha: R,
    a: impl Fn(usize) -> Mat<'a, R> + Sync,
    b: impl Fn(usize) -> Mat<'a, R> + Sync,
    beta: R,
    c: &mut [R],
    rows: usize,
    cols: usize,
) {
    if rows * cols == 0 {
        return;
    }
    assert_eq!(c.len() % (rows * cols), 0, "gemm_batch: output is not a whole number of matrices");
    par::chunks_mut(c, rows * cols, |i, c| {
        gemm(alpha, a(i), b(i), beta, MatMut::new(c, rows, cols), Epilogue::None);
    });
}

impl<'a, R> Epilogue<'a, R> {
    fn bias(&self) -> Option<&'a [R]> {
        match self {
            Self::None => None,
            Self::Bias(bias) => Some(bias),
        }
    }
}

#[track_caller]
fn check<R: Real>(
    m: usize,
    k: usize,
    bk: usize,
    n: usize,
    c: &MatMut<'_, R>,
    epilogue: &Epilogue<'_, R>,
) {
    assert!(
        k == bk && m == c.rows() && n == c.cols(),
        "gemm: [{m}, {k}] times [{bk}, {n}] into [{}, {}]",
        c.rows(),
        c.cols()
    );
    if let Some(bias) = epilogue.bias() {
        assert_eq!(bias.len(), n, "gemm: one bias per column");
    }
}

/// Columns at whose multiples a packed matrix can be cut.
pub const PANEL: usize = micro::WIDEST;

/// B packed once, to multiply many times.
///
/// ```
/// use foundry_kernels::cpu::gemm::{Epilogue, Mat, MatMut, PackedB, gemm_packed};
///
/// let w = [1.0f32, 2.0, 3.0, 4.0];
/// let mut memory = vec![0.0; PackedB::<f32>::len(2, 2)];
/// let w = PackedB::pack(Mat::new(&w, 2, 2), &mut memory);
/// let mut y = [0.0; 2];
/// gemm_packed(1.0, Mat::new(&[1.0, 1.0], 1, 2), &w, 0.0, MatMut::new(&mut y, 1, 2), Epilogue::None);
/// assert_eq!(y, [4.0, 6.0]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PackedB<'a, R> {
    isa: Isa,
    data: &'a [R],
    rows: usize,
    cols: usize,
    /// The shape that was packed, of which this may be a part.
    whole: (usize, usize),
}

impl<'a, R: Real> PackedB<'a, R> {
    /// How many elements the packed form of a matrix takes, whatever the instruction set.
    #[must_use]
    pub fn len(rows: usize, cols: usize) -> usize {
        rows * cols.next_multiple_of(micro::WIDEST)
    }

    /// Packs `b` into `memory`, which holds at least [`len`](Self::len) elements (`scratch::with` gives it).
    ///
    /// # Panics
    /// `memory` is too short.
    pub fn pack(b: Mat<'_, R>, memory: &'a mut [R]) -> Self {
        Self::pack_at(Isa::current(), b, memory)
    }

    /// Columns `first .. first + cols`, as a view of the same memory.
    ///
    /// # Panics
    /// `first` is not a multiple of [`PANEL`], or the columns are not all there.
    #[must_use]
    pub fn columns(&self, first: usize, cols: usize) -> Self {
        assert!(
            first.is_multiple_of(PANEL) && first + cols <= self.cols,
            "columns of a packed matrix"
        );
        let at = if single::is_f32::<R>() { first * self.whole.0 } else { first };
        Self { data: self.data.get(at..).unwrap_or_default(), cols, ..*self }
    }

    /// Rows `first .. first + rows`, as a view of the same memory.
    ///
    /// # Panics
    /// The rows are not all there.
    #[must_use]
    pub fn rows(&self, first: usize, rows: usize) -> Self {
        assert!(first + rows <= self.rows, "rows of a packed matrix");
        let apart =
            if single::is_f32::<R>() { micro::Kernel::of(self.isa).nr } else { self.whole.1 };
        Self { data: self.data.get(first * apart..).unwrap_or_default(), rows, ..*self }
    }

    fn pack_at(isa: Isa, b: Mat<'_, R>, memory: &'a mut [R]) -> Self {
        let (rows, cols) = (b.rows(), b.cols());
        let memory = &mut memory[..Self::len(rows, cols)];
        if single::is_f32::<R>() {
            pack::pack_b(&micro::Kernel::of(isa), &b.as_f32(), 0, cols, up(memory));
        } else if rows * cols > 0 {
            par::chunks_mut(&mut memory[..rows * cols], cols, |i, row| {
                row.iter_mut().enumerate().for_each(|(j, x)| *x = b.at(i, j));
            });
        }
        Self { isa, data: memory, rows, cols, whole: (rows, cols) }
    }
}

/// [`gemm`] with a packed B.
///
/// # Panics
/// The shapes do not fit one another.
pub fn gemm_packed<R: Real>(
    alpha: R,
    a: Mat<'_, R>,
    b: &PackedB<'_, R>,
    beta: R,
    mut c: MatMut<'_, R>,
    epilogue: Epilogue<'_, R>,
) {
    check(a.rows(), a.cols(), b.rows, b.cols, &c, &epilogue);
    if c.rows() == 0 || c.cols() == 0 {
        return;
    }
    if a.cols() == 0 {
        return vector::finish(&mut c, beta, epilogue);
    }
    if single::is_f32::<R>() {
        let bias = epilogue.bias().map(down);
        let (alpha, beta) = (bytemuck::cast(alpha), bytemuck::cast(beta));
        let right = single::Right { packed: down(b.data), rows: b.whole.0, direct: None, whole: 0 };
        let kernel = micro::Kernel::of(b.isa);
        single::compute(&kernel, alpha, &a.as_f32(), &right, beta, c.into_f32(), bias);
    } else {
        double(alpha, a, Mat::strided(b.data, b.rows, b.cols, b.whole.1), beta, c, epilogue);
    }
}

/// f64 by matrixmultiply, in blocks of rows.
fn double<R: Real>(
    alpha: R,
    a: Mat<'_, R>,
    b: Mat<'_, R>,
    beta: R,
    mut c: MatMut<'_, R>,
    epilogue: Epilogue<'_, R>,
) {
    const ROWS: usize = 64;
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    let (alpha, beta) = (alpha.to_f64(), beta.to_f64());
    let grain = if m * k * n < 1 << 18 { m } else { ROWS };
    let (stride, out) = (c.stride().cast_signed(), c.shared());
    let (ra, ca) = a.strides_signed();
    let (rb, cb) = b.strides_signed();
    par::ranges(m, grain, |lo, hi| {
        let rows = hi - lo;
        // SAFETY: R is f64 here (the only other Real has its own path). The views were checked against their
        // slices when they were made, rows lo..hi lie inside A and C, and no two ranges share a row of C.
        unsafe {
            let c = out.at(lo * out.stride()).cast::<f64>();
            let a = a.as_ptr().offset(lo.cast_signed() * ra).cast::<f64>();
            let b = b.as_ptr().cast::<f64>();
            matrixmultiply::dgemm(rows, k, n, alpha, a, ra, ca, b, rb, cb, beta, c, stride, 1);
            if let Some(bias) = epilogue.bias() {
                for i in lo..hi {
                    let row = std::slice::from_raw_parts_mut(out.at(i * out.stride()), n);
                    row.iter_mut().zip(bias).for_each(|(c, b)| *c += *b);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests;
