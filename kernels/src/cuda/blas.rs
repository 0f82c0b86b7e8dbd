//! A product as BLAS counts.
//!
//! BLAS numbers the elements of a matrix down its columns. A matrix that lies row by row is, so read, its transpose; and C =
//! A B is Cᵀ = Bᵀ Aᵀ. So BLAS is given B first and A second, each as it lies, and writes C as it is to lie:
//!
//! ```text
//! C [m, n] = alpha A [m, k] B [k, n] + beta C      for us, rows so many elements apart
//! C [n, m] = alpha B [n, k] A [k, m] + beta C      for BLAS, columns as many elements apart
//! ```
//!
//! A factor that is a transpose for us is one for BLAS too. A bias, which BLAS does not know, is first copied to every row of C,
//! and C is added to: one kernel before the product, instead of one after it that would read C once more.

use super::elementwise::copy;
use super::gemm::{Factors, Gemm, Matrix};
use super::launch::{Call, NULL, Pointer};

/// A factor, column by column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    /// Element (0, 0) of the first matrix of the batch.
    pub at: Pointer,
    /// Whether it is the transpose of what lies there that is multiplied.
    pub transposed: bool,
    /// Elements from column to column.
    pub leading: i32,
    /// Elements from matrix to matrix.
    pub batch: i64,
}

/// C `[rows, columns]` = alpha F G + beta C for every matrix of a batch, column by column.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// What fills C with the bias before, if there is one.
    pub bias: Option<Call>,
    /// The elements of F and G; those of C are f32.
    pub factors: Factors,
    /// F `[rows, terms]`.
    pub first: Factor,
    /// G `[terms, columns]`.
    pub second: Factor,
    /// C.
    pub c: Factor,
    /// rows, columns, terms.
    pub sizes: [i32; 3],
    /// Matrices.
    pub batch: i32,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of what C was.
    pub beta: f32,
}

impl Factor {
    /// A matrix of these sizes. None if neither its rows nor its columns are of neighbouring elements that overlap nothing.
    fn of(x: &Matrix, [rows, columns]: [u32; 2]) -> Option<Self> {
        // The stride along an axis of one element is never used.
        let row_by_row = (x.column == 1 || columns == 1) && (x.row >= columns || rows == 1);
        let column_by_column = (x.row == 1 || rows == 1) && (x.column >= rows || columns == 1);
        let (transposed, leading) = match (row_by_row, column_by_column) {
            (true, _) => (false, x.row.max(columns)),
            (_, true) => (true, x.column.max(rows)),
            _ => return None,
        };
        Some(Self { at: x.at, transposed, leading: size(leading)?, batch: x.batch.into() })
    }
}

impl Product {
    /// A product as BLAS does it. None if it is not for BLAS: there is nothing to multiply, a factor has a stride along both
    /// of its axes, a bias is added to what C was, or a size is 2^31 or more.
    #[must_use]
    pub fn of(gemm: &Gemm) -> Option<Self> {
        let Gemm { factors, alpha, a, b, bias, c, sizes: [batch, m, n, k], .. } = *gemm;
        if [batch, m, n, k].contains(&0) {
            return None;
        }
        let (bias, beta) = if bias == NULL {
            (None, gemm.beta)
        } else {
            let follow = batch == 1 || c.batch == m.checked_mul(c.row)?;
            m.checked_mul(batch)?.checked_mul(n)?;
            let fits = follow && gemm.beta == 0.0;
            (Some(fits.then(|| copy((bias, 0), (c.at, c.row), [m * batch, n]))?), 1.0)
        };
        let c = Factor::of(&c, [m, n]).filter(|c| !c.transposed)?;
        Some(Self {
            bias,
            factors,
            first: Factor::of(&b, [k, n])?,
            second: Factor::of(&a, [m, k])?,
            c,
            sizes: [size(n)?, size(m)?, size(k)?],
            batch: size(batch)?,
            alpha,
            beta,
        })
    }
}

/// As BLAS counts.
fn size(n: u32) -> Option<i32> {
    i32::try_from(n).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::gemm::gemm;

    /// An element of a matrix of the i-th of a batch, by the strides of a [`Matrix`].
    fn ours(x: &Matrix, data: &[f64], [i, row, column]: [u32; 3]) -> f64 {
        data[(x.at.0 as u32 + i * x.batch + row * x.row + column * x.column) as usize]
    }

    /// The same by what BLAS is told; checks what BLAS checks.
    fn theirs(x: &Factor, data: &[f64], [i, row, column]: [i32; 3]) -> f64 {
        let (down, across) = if x.transposed { (column, row) } else { (row, column) };
        assert!(down < x.leading, "columns overlap: {x:?}");
        let at = i64::from(i) * x.batch + i64::from(across) * i64::from(x.leading);
        data[x.at.0 as usize + at as usize + down as usize]
    }

    /// Every element of a product, C row by row, by the meaning of a [`Gemm`] and by that of its [`Product`].
    fn compare(g: &Gemm, data: &[f64]) {
        let p = Product::of(g).unwrap_or_else(|| panic!("{g:?}"));
        let [batch, m, n, k] = g.sizes;
        assert_eq!((p.batch, p.sizes), (batch as i32, [n, m, k].map(|n| n as i32)));
        assert!(p.c.leading >= p.sizes[0] && !p.c.transposed);
        for at in 0..batch * m * n {
            let (i, row, column) = (at / (m * n), at / n % m, at % n);
            let terms = |l: u32| ours(&g.a, data, [i, row, l]) * ours(&g.b, data, [i, l, column]);
            let expected: f64 = (0..k).map(terms).sum();
            let [i, row, column] = [i, row, column].map(|n| n as i32);
            let terms = |l: i32| {
                theirs(&p.first, data, [i, column, l]) * theirs(&p.second, data, [i, l, row])
            };
            let found: f64 = (0..p.sizes[2]).map(terms).sum();
            assert_eq!(found.to_bits(), expected.to_bits(), "{g:?} at {i} {row} {column}");
            let place = i64::from(i) * p.c.batch + i64::from(row) * i64::from(p.c.leading);
            let [i, row] = [i, row].map(|n| n as u32);
            assert_eq!(place, i64::from(i * g.c.batch + row * g.c.row));
        }
    }

    fn product(a: Matrix, b: Matrix, bias: Pointer, c: Matrix, sizes: [u32; 4]) -> Gemm {
        gemm((1.0, 0.0), a, b, bias, c, sizes).product.unwrap()
    }

    #[test]
    fn test_blas__computes_what_ours_computes() {
        let data: Vec<f64> = (0..2000).map(|i| f64::from(i * 37 % 101) - 50.0).collect();
        let sizes = [[1, 1, 1, 1], [3, 4, 5, 2], [2, 1, 5, 3], [2, 4, 1, 3], [1, 6, 7, 1]];
        for [batch, m, n, k] in sizes {
            for gap in [0, 3] {
                for (a_t, b_t) in [(false, false), (false, true), (true, false), (true, true)] {
                    let matrix = |at, [rows, columns]: [u32; 2], transposed| {
                        if transposed {
                            Matrix::strided(Pointer(at), columns, rows + gap).t()
                        } else {
                            Matrix::strided(Pointer(at), rows, columns + gap)
                        }
                    };
                    let (a, b) = (matrix(0, [m, k], a_t), matrix(1000, [k, n], b_t));
                    let c = Matrix::strided(Pointer(0), m, n + gap);
                    compare(&product(a, b, NULL, c, [batch, m, n, k]), &data);
                    // One matrix for all of a batch.
                    let all = Matrix { batch: 0, ..b };
                    compare(&product(a, all, NULL, c, [batch, m, n, k]), &data);
                }
            }
        }
    }

    #[test]
    fn test_blas__a_bias_is_what_c_was() {
        let (a, b) = (Matrix::new(Pointer(64), 6, 4), Matrix::new(Pointer(512), 4, 5));
        let c = Matrix::strided(Pointer(1024), 3, 7);
        let found = Product::of(&product(a, b, Pointer(4096), c, [2, 3, 5, 4])).unwrap();
        let filled = copy((Pointer(4096), 0), (Pointer(1024), 7), [6, 5]);
        assert_eq!((found.bias, found.beta), (Some(filled), 1.0));
        let g = product(a, b, NULL, c, [2, 3, 5, 4]);
        let found = Product::of(&Gemm { beta: 0.5, ..g }).unwrap();
        assert_eq!((found.bias, found.beta), (None, 0.5));
    }

    #[test]
    fn test_blas__what_it_cannot_do_stays_ours() {
        let (a, b) = (Matrix::new(Pointer(0), 2, 4), Matrix::new(Pointer(0), 4, 5));
        let c = Matrix::new(Pointer(0), 2, 5);
        let g = product(a, b, NULL, c, [1, 2, 5, 4]);
        assert!(Product::of(&g).is_some());
        let spread = Gemm { a: Matrix { column: 2, row: 8, ..a }, ..g };
        let repeated = Gemm { a: Matrix { row: 0, ..a }, ..g };
        let apart = Gemm { bias: Pointer(64), c: Matrix { batch: 20, ..c }, ..g };
        let apart = Gemm { sizes: [2, 2, 5, 4], ..apart };
        let added = Gemm { bias: Pointer(64), beta: 1.0, ..g };
        let nothing = Gemm { sizes: [1, 2, 5, 0], ..g };
        let huge = Gemm { b: Matrix { row: 1 << 31, ..b }, ..g };
        for other in [spread, repeated, apart, added, nothing, huge] {
            assert_eq!(Product::of(&other), None, "{other:?}");
        }
    }
}
