//! cuBLAS: NVIDIA's library of matrix products, where a machine has it.
//!
//! # Who multiplies
//!
//! One rule ([`choose`]): cuBLAS, if its library can be loaded; otherwise the kernels of this crate. `FOUNDRY_GEMM=ptx` asks for
//! these kernels, and `FOUNDRY_GEMM=cublas` for cuBLAS, whose absence then is an error. Where `FOUNDRY_CUDA_LIB` names another
//! libcuda, the cuBLAS of this machine is not taken unless it is asked for: it may know nothing of that one.
//!
//! The rule is for a device, once; which of its products cuBLAS does, [`Product::of`] says: all but a few that BLAS has no words
//! for, which stay with the kernels.
//!
//! # The same bits every time
//!
//! NVIDIA promises the same bits from run to run for one version of cuBLAS on one kind of GPU as long as one stream is active and
//! the workspace is fixed: so a handle has the device's one stream, and memory that is allocated once. Sums are f32, f32 is never
//! rounded to tf32 (default math), and atomic additions are off unless they are asked for. The bits are not those of the kernels
//! of this crate, nor those of another version.

use super::blas::{Factor, Product};
use super::driver::{Allocation, DeviceError, Gpu, is_named};
use super::gemm::Factors;
use super::launch::Pointer;
use super::tensor_cores::Half;
use cudarc::cublas::result::{self, CublasError};
use cudarc::cublas::sys::{self, cublasOperation_t as Op, cudaDataType as Type};
use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The variable that says who multiplies.
pub const VARIABLE: &str = "FOUNDRY_GEMM";

/// Who multiplies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The kernels of this crate.
    Ptx {
        /// Why not cuBLAS.
        why: String,
    },
    /// cuBLAS.
    Cublas {
        /// Its version.
        version: String,
    },
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ptx { .. } => f.write_str("PTX"),
            Self::Cublas { version } => write!(f, "cuBLAS {version}"),
        }
    }
}

impl Choice {
    /// Its name, and why it is not cuBLAS.
    #[must_use]
    pub fn explain(&self) -> String {
        match self {
            Self::Ptx { why } => format!("{self} ({why})"),
            Self::Cublas { .. } => self.to_string(),
        }
    }
}

/// What [`VARIABLE`] asks for, if it is set: whether cuBLAS.
///
/// # Errors
/// If it is neither ptx nor cublas.
pub fn from_env() -> Result<Option<bool>, String> {
    match std::env::var_os(VARIABLE) {
        None => Ok(None),
        Some(value) => parse(&value.to_string_lossy()).map(Some),
    }
}

fn parse(value: &str) -> Result<bool, String> {
    match value {
        "ptx" => Ok(false),
        "cublas" => Ok(true),
        _ => Err(format!(
            "{VARIABLE}={value}: expected ptx or cublas; unset it to use cuBLAS where its library is there"
        )),
    }
}

/// Who multiplies on this machine. A variable that asks for something else is ignored here; programs call [`from_env`] at their
/// start and report it.
///
/// # Errors
/// If cuBLAS is asked for and is not there.
pub fn choose() -> Result<Choice, DeviceError> {
    let asked = from_env().unwrap_or_default();
    let why = match asked {
        Some(false) => format!("{VARIABLE}=ptx"),
        None if is_named() => {
            format!("FOUNDRY_CUDA_LIB names a driver; {VARIABLE}=cublas takes cuBLAS beside it")
        }
        _ => match version() {
            Ok(version) => return Ok(Choice::Cublas { version }),
            Err(why) if asked.is_some() => return Err(DeviceError::NoCublas(why)),
            Err(why) => why,
        },
    };
    Ok(Choice::Ptx { why })
}

/// The functions of cuBLAS that are called here, its version among them.
const FUNCTIONS: [&str; 8] = [
    "cublasCreate_v2",
    "cublasDestroy_v2",
    "cublasGemmEx",
    "cublasGemmStridedBatchedEx",
    "cublasGetProperty",
    "cublasSetMathMode",
    "cublasSetStream_v2",
    "cublasSetWorkspace_v2",
];

/// Loads the library, and asks for its version; or says why that cannot be. No other function here may be called before it went
/// well: cudarc panics where a library or a function is missing.
fn version() -> Result<String, String> {
    // SAFETY: opening a library runs its initialisers; those of cuBLAS have no preconditions.
    if !unsafe { sys::is_culib_present() } {
        let name = if cfg!(windows) { "cublas64_12.dll" } else { "libcublas.so" };
        return Err(format!("there is no {name} on this machine"));
    }
    // SAFETY: as above; it was found.
    let library = unsafe { sys::culib() };
    for name in FUNCTIONS {
        // SAFETY: the function is looked for and not called.
        if unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) }.is_err() {
            return Err(format!("libcublas has no {name}: it is too old"));
        }
    }
    let property = |which| {
        let mut value = 0;
        // SAFETY: the function is there, and writes an int.
        let status = unsafe { sys::cublasGetProperty(which, &raw mut value) };
        status
            .result()
            .map_err(|e| format!("libcublas does not say its version: {e}"))
            .map(|()| value)
    };
    use sys::libraryPropertyType_t::{MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL};
    let (major, minor) = (property(MAJOR_VERSION)?, property(MINOR_VERSION)?);
    Ok(format!("{major}.{minor}.{}", property(PATCH_LEVEL)?))
}

/// cuBLAS on the stream of a device.
pub struct Cublas {
    handle: Mutex<Handle>,
    /// After the handle, which uses it.
    workspace: Allocation,
}

/// Used by one thread at a time.
struct Handle(sys::cublasHandle_t);

// SAFETY: a handle belongs to no thread: it may be used by any that has bound the context, one at a time.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle was created, and is destroyed once. What it may still report is an older error of the device.
        let _ = unsafe { result::destroy_handle(self.0) };
    }
}

impl Cublas {
    /// Who multiplies on a device, by the rule: cuBLAS, ready to, or the kernels. A cuBLAS that is there and does not start is
    /// as good as none, unless it was asked for.
    ///
    /// # Errors
    /// If cuBLAS is asked for and is not there, or does not start.
    pub fn open(gpu: &Arc<Gpu>) -> Result<(Choice, Option<Self>), DeviceError> {
        let choice = choose()?;
        if let Choice::Ptx { .. } = choice {
            return Ok((choice, None));
        }
        let error = match Self::new(gpu) {
            Ok(cublas) => return Ok((choice, Some(cublas))),
            Err(error) => error.to_string(),
        };
        let why = format!("{choice} does not start: {}", error.lines().next().unwrap_or_default());
        match from_env() {
            Ok(Some(true)) => Err(DeviceError::NoCublas(why)),
            _ => Ok((Choice::Ptx { why }, None)),
        }
    }

    fn new(gpu: &Arc<Gpu>) -> Result<Self, DeviceError> {
        // What NVIDIA recommends.
        let bytes = if gpu.description().capability.0 >= 9 { 32 << 20 } else { 4 << 20 };
        let workspace = gpu.alloc(bytes)?;
        gpu.bind()?;
        let failed = |e| failed("starting cuBLAS", e);
        let handle = Handle(result::create_handle().map_err(failed)?);
        // SAFETY: handle and stream are alive, and the stream is the device's, which outlives the handle.
        unsafe { result::set_stream(handle.0, gpu.stream.cu_stream().cast()) }.map_err(failed)?;
        // After the stream, which takes a workspace back.
        // SAFETY: the memory is the handle's until it is destroyed, and aligned to 256 bytes as all allocations are.
        let given = unsafe { sys::cublasSetWorkspace_v2(handle.0, at(workspace.at()), bytes) };
        given.result().map_err(failed)?;
        // SAFETY: the handle is alive.
        let set =
            unsafe { sys::cublasSetMathMode(handle.0, sys::cublasMath_t::CUBLAS_DEFAULT_MATH) };
        set.result().map_err(failed)?;
        Ok(Self { handle: Mutex::new(handle), workspace })
    }

    /// Queues a product. Its addresses are those of allocations of this device that are alive, which is the caller's part of
    /// the contract.
    ///
    /// # Errors
    /// If cuBLAS refuses.
    pub fn launch(&self, product: &Product) -> Result<(), DeviceError> {
        let Product { bias, factors, first, second, c, sizes, batch, alpha, beta } = product;
        let gpu = self.workspace.gpu();
        if let Some(bias) = bias {
            gpu.launch(bias)?;
        }
        gpu.bind()?;
        let op =
            |factor: &Factor| if factor.transposed { Op::CUBLAS_OP_T } else { Op::CUBLAS_OP_N };
        let kind = match factors {
            Factors::Single | Factors::Exact => Type::CUDA_R_32F,
            Factors::Rounded(Half::Bf16) => Type::CUDA_R_16BF,
            Factors::Rounded(Half::F16) => Type::CUDA_R_16F,
        };
        let ([m, n, k], sum) = (*sizes, sys::cublasComputeType_t::CUBLAS_COMPUTE_32F);
        let (alpha, beta) = ((&raw const *alpha).cast(), (&raw const *beta).cast());
        let (of_c, how) = (Type::CUDA_R_32F, sys::cublasGemmAlgo_t::CUBLAS_GEMM_DFALT);
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        let ops = (op(first), op(second));
        let (f, g, to) = (at(first.at), at(second.at), at(c.at));
        // SAFETY: the handle is alive; alpha and beta are read before this returns; sizes, leading dimensions and strides are
        // those of matrices that the typed functions of this crate multiply, and `Product` translates.
        let queued = unsafe {
            if *batch == 1 {
                result::gemm_ex(
                    handle.0,
                    ops.0,
                    ops.1,
                    m,
                    n,
                    k,
                    alpha,
                    f,
                    kind,
                    first.leading,
                    g,
                    kind,
                    second.leading,
                    beta,
                    to,
                    of_c,
                    c.leading,
                    sum,
                    how,
                )
            } else {
                result::gemm_strided_batched_ex(
                    handle.0,
                    ops.0,
                    ops.1,
                    m,
                    n,
                    k,
                    alpha,
                    f,
                    kind,
                    first.leading,
                    first.batch,
                    g,
                    kind,
                    second.leading,
                    second.batch,
                    beta,
                    to,
                    of_c,
                    c.leading,
                    c.batch,
                    *batch,
                    sum,
                    how,
                )
            }
        };
        queued.map_err(|e| failed(format!("a product of [{m}, {k}] and [{k}, {n}]"), e))
    }
}

/// An address on the device, as C writes it; never followed here.
fn at(Pointer(address): Pointer) -> *mut c_void {
    std::ptr::without_provenance_mut(usize::try_from(address).expect("addresses of 64 bits"))
}

fn failed(what: impl Into<String>, CublasError(status): CublasError) -> DeviceError {
    let text = "reported by cuBLAS".to_owned();
    DeviceError::Failed { what: what.into(), name: format!("{status:?}"), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_cublas__the_variable_knows_two_words() {
        assert_eq!((parse("ptx"), parse("cublas")), (Ok(false), Ok(true)));
        let unknown = parse("CUBLAS").unwrap_err();
        assert!(unknown.contains("FOUNDRY_GEMM=CUBLAS: expected ptx or cublas"), "{unknown}");
    }
}
