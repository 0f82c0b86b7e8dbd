//! cuBLAS: the functions that Foundry calls, as plain loops over the memory of the device.
//!
//! Signatures are those of `cublas_api.h`. What cuBLAS checks is checked (sizes, leading dimensions, types), and what it
//! leaves to the caller too: addresses, and that there is a stream and a workspace of one's own, without which the bits of
//! results are not promised. The safety of the exported functions is the caller's, as in `driver.rs`.

use crate::device::{Device, device, log};
use crate::driver::{Handle, STREAM, handle, put};
use half::{bf16, f16};
use std::ffi::{c_int, c_longlong, c_uint, c_void};

/// What every function returns.
type Status = c_uint;

const SUCCESS: Status = 0;
const NOT_INITIALIZED: Status = 1;
const INVALID_VALUE: Status = 7;
const EXECUTION_FAILED: Status = 13;
const NOT_SUPPORTED: Status = 15;

/// The version that it says it has: major, minor, patch.
const VERSION: [c_int; 3] = [12, 9, 0];

const HANDLE: usize = 4;

/// Types of elements: the numbers of `cudaDataType`.
const F32: c_uint = 0;
const F16: c_uint = 2;
const BF16: c_uint = 14;
/// Sums in f32: `CUBLAS_COMPUTE_32F`.
const SUM_F32: c_uint = 68;

/// Bytes at whose multiples a workspace begins.
const ALIGNED: u64 = 256;

/// What is known of the one handle.
#[derive(Default)]
pub(crate) struct Blas {
    has_stream: bool,
    /// Address and bytes.
    workspace: Option<(u64, u64)>,
}

/// A matrix, column by column.
struct Matrix {
    at: u64,
    kind: c_uint,
    leading: c_int,
    batch: c_longlong,
}

impl Matrix {
    /// The i-th of a batch: `columns` columns of `rows` elements each.
    fn read(
        &self,
        device: &mut Device,
        i: u64,
        [rows, columns]: [u64; 2],
    ) -> Result<Vec<f32>, Status> {
        let size = if self.kind == F32 { 4 } else { 2 };
        let leading = u64::try_from(self.leading).map_err(|_| INVALID_VALUE)?;
        if leading < rows.max(1) {
            return Err(INVALID_VALUE);
        }
        let columns = device.rows(self.of(i, size), [columns, rows * size, leading * size]);
        let number = |bytes: &[u8]| match (self.kind, bytes) {
            (F16, &[a, b]) => f16::from_le_bytes([a, b]).to_f32(),
            (BF16, &[a, b]) => bf16::from_le_bytes([a, b]).to_f32(),
            (_, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            _ => f32::NAN,
        };
        let bytes = columns.map_err(|_| EXECUTION_FAILED)?.concat();
        Ok(bytes.chunks_exact(if size == 4 { 4 } else { 2 }).map(number).collect())
    }

    /// Where the i-th of a batch begins.
    fn of(&self, i: u64, size: u64) -> u64 {
        let batch = u64::try_from(self.batch).unwrap_or(0);
        self.at + i * batch * size
    }
}

/// C = alpha op(A) op(B) + beta C, for every matrix of a batch.
struct Gemm {
    transposed: [bool; 2],
    sizes: [c_int; 3],
    scalars: [f32; 2],
    a: Matrix,
    b: Matrix,
    c: Matrix,
    batch: c_int,
}

impl Gemm {
    fn run(&self, device: &mut Device) -> Result<(), Status> {
        let workspace = device.blas.workspace.filter(|_| device.blas.has_stream);
        let (at, bytes) = workspace.ok_or(NOT_INITIALIZED)?;
        device.read(at + bytes - 1, &mut [0]).map_err(|_| EXECUTION_FAILED)?;
        if self.a.kind != self.b.kind
            || ![F32, F16, BF16].contains(&self.a.kind)
            || self.c.kind != F32
        {
            return Err(NOT_SUPPORTED);
        }
        let size = |n: c_int| u64::try_from(n).map_err(|_| INVALID_VALUE);
        let ([m, n, k], batch) = (self.sizes, size(self.batch)?);
        let [m, n, k] = [size(m)?, size(n)?, size(k)?];
        let stored = |transposed, [rows, columns]: [u64; 2]| {
            if transposed { [columns, rows] } else { [rows, columns] }
        };
        let [alpha, beta] = self.scalars;
        for i in 0..batch {
            let a = self.a.read(device, i, stored(self.transposed[0], [m, k]))?;
            let b = self.b.read(device, i, stored(self.transposed[1], [k, n]))?;
            // With a factor of 0 it is not read.
            let c = if beta == 0.0 {
                vec![0.0; index(m * n)]
            } else {
                self.c.read(device, i, [m, n])?
            };
            let [m, n, k] = [m, n, k].map(index);
            let leading = size(self.c.leading)?;
            if index(leading) < m.max(1) {
                return Err(INVALID_VALUE);
            }
            for column in 0..n {
                let element = |row| {
                    let term = |l| {
                        let a = if self.transposed[0] { a[row * k + l] } else { a[l * m + row] };
                        let b =
                            if self.transposed[1] { b[l * n + column] } else { b[column * k + l] };
                        f64::from(a) * f64::from(b)
                    };
                    let sum: f64 = (0..k).map(term).sum();
                    let old = f64::from(beta) * f64::from(c[column * m + row]);
                    // Rounding once is what f32 is.
                    #[allow(clippy::cast_possible_truncation, reason = "to f32")]
                    let new = (f64::from(alpha) * sum + old) as f32;
                    new.to_le_bytes()
                };
                let bytes: Vec<u8> = (0..m).flat_map(element).collect();
                let at = self.c.of(i, 4) + column as u64 * leading * 4;
                device.write(at, &bytes).map_err(|_| EXECUTION_FAILED)?;
            }
        }
        Ok(())
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn status(result: Result<(), Status>) -> Status {
    result.err().unwrap_or(SUCCESS)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cublasGetProperty(which: c_uint, value: *mut c_int) -> Status {
    let Some(number) = VERSION.get(which as usize) else { return INVALID_VALUE };
    // SAFETY: the caller's part of the contract.
    if unsafe { put(value, *number) } == 0 { SUCCESS } else { INVALID_VALUE }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cublasCreate_v2(to: *mut Handle) -> Status {
    // SAFETY: the caller's part of the contract.
    if unsafe { put(to, handle(HANDLE)) } == 0 { SUCCESS } else { INVALID_VALUE }
}

#[unsafe(no_mangle)]
extern "C" fn cublasDestroy_v2(which: Handle) -> Status {
    if which.addr() == HANDLE { SUCCESS } else { NOT_INITIALIZED }
}

#[unsafe(no_mangle)]
extern "C" fn cublasSetStream_v2(which: Handle, stream: Handle) -> Status {
    if which.addr() != HANDLE || stream.addr() != STREAM {
        return INVALID_VALUE;
    }
    // A workspace that was given is forgotten.
    device().blas = Blas { has_stream: true, workspace: None };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cublasSetWorkspace_v2(which: Handle, at: *mut c_void, bytes: usize) -> Status {
    let at = at.addr() as u64;
    if which.addr() != HANDLE || bytes == 0 || !at.is_multiple_of(ALIGNED) {
        return INVALID_VALUE;
    }
    device().blas.workspace = Some((at, bytes as u64));
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cublasSetMathMode(which: Handle, mode: c_uint) -> Status {
    // The default, in which f32 stays f32.
    if which.addr() == HANDLE && mode == 0 { SUCCESS } else { NOT_SUPPORTED }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cublasGemmEx(
    which: Handle,
    a_op: c_uint,
    b_op: c_uint,
    m: c_int,
    n: c_int,
    k: c_int,
    alpha: *const c_void,
    a: *const c_void,
    a_kind: c_uint,
    a_leading: c_int,
    b: *const c_void,
    b_kind: c_uint,
    b_leading: c_int,
    beta: *const c_void,
    c: *mut c_void,
    c_kind: c_uint,
    c_leading: c_int,
    sum: c_uint,
    how: c_int,
) -> Status {
    log("cublasGemmEx");
    // SAFETY: the caller's part of the contract, which is the same.
    unsafe {
        multiply(
            which,
            [a_op, b_op],
            [m, n, k],
            [alpha, beta],
            (a, a_kind, a_leading, 0),
            (b, b_kind, b_leading, 0),
            (c, c_kind, c_leading, 0),
            1,
            sum,
            how,
        )
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cublasGemmStridedBatchedEx(
    which: Handle,
    a_op: c_uint,
    b_op: c_uint,
    m: c_int,
    n: c_int,
    k: c_int,
    alpha: *const c_void,
    a: *const c_void,
    a_kind: c_uint,
    a_leading: c_int,
    a_batch: c_longlong,
    b: *const c_void,
    b_kind: c_uint,
    b_leading: c_int,
    b_batch: c_longlong,
    beta: *const c_void,
    c: *mut c_void,
    c_kind: c_uint,
    c_leading: c_int,
    c_batch: c_longlong,
    batch: c_int,
    sum: c_uint,
    how: c_int,
) -> Status {
    log("cublasGemmStridedBatchedEx");
    // SAFETY: the caller's part of the contract, which is the same.
    unsafe {
        multiply(
            which,
            [a_op, b_op],
            [m, n, k],
            [alpha, beta],
            (a, a_kind, a_leading, a_batch),
            (b, b_kind, b_leading, b_batch),
            (c, c_kind, c_leading, c_batch),
            batch,
            sum,
            how,
        )
    }
}

/// # Safety
/// The scalars are null or addresses of f32 on the host.
unsafe fn multiply(
    which: Handle,
    ops: [c_uint; 2],
    sizes: [c_int; 3],
    scalars: [*const c_void; 2],
    a: (*const c_void, c_uint, c_int, c_longlong),
    b: (*const c_void, c_uint, c_int, c_longlong),
    c: (*mut c_void, c_uint, c_int, c_longlong),
    batch: c_int,
    sum: c_uint,
    how: c_int,
) -> Status {
    if which.addr() != HANDLE {
        return NOT_INITIALIZED;
    }
    if sum != SUM_F32 || how != -1 || ops.iter().any(|op| *op > 1) {
        return NOT_SUPPORTED;
    }
    if scalars.iter().any(|s| s.is_null()) {
        return INVALID_VALUE;
    }
    // SAFETY: not null, and by the contract of this function addresses of f32.
    let scalars = scalars.map(|s| unsafe { *s.cast::<f32>() });
    let matrix = |at: *const c_void, kind, leading, batch| Matrix {
        at: at.addr() as u64,
        kind,
        leading,
        batch,
    };
    let gemm = Gemm {
        transposed: ops.map(|op| op == 1),
        sizes,
        scalars,
        a: matrix(a.0, a.1, a.2, a.3),
        b: matrix(b.0, b.1, b.2, b.3),
        c: matrix(c.0, c.1, c.2, c.3),
        batch,
    };
    status(gemm.run(&mut device()))
}
