//! What can go wrong with a device.

use cudarc::driver::result::DriverError;
use std::ffi::CStr;

/// What can go wrong with a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// There is no libcuda, or not the one that was named.
    #[error("no CUDA driver found: {0}")]
    NoDriver(String),
    /// The driver has no device of this number.
    #[error("no CUDA device {ordinal}: the driver has {count}")]
    NoDevice {
        /// The number that was asked for.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// The device is older than the kernels.
    #[error("{name} has compute capability {0}.{1}; Foundry's kernels need 7.0 (2017) or later", capability.0, capability.1)]
    TooOld {
        /// What the driver calls the device.
        name: String,
        /// Major and minor.
        capability: (i32, i32),
    },
    /// The device has no tensor cores for this precision.
    #[error(
        "precision: {precision} needs compute capability 8.0 (2020) or later; {name} has {0}.{1}\n  mend: precision: fp32",
        capability.0, capability.1
    )]
    NoTensorCores {
        /// What was asked for.
        precision: String,
        /// What the driver calls the device.
        name: String,
        /// Major and minor.
        capability: (i32, i32),
    },
    /// The CPU was asked for mixed precision.
    #[error(
        "precision: {precision} needs CUDA: the CPU computes in fp32{why}\n  mend: precision: fp32"
    )]
    NeedsCuda {
        /// What was asked for.
        precision: String,
        /// Why there is no GPU, if it is not that none was asked for.
        why: String,
    },
    /// The memory of the device does not hold what was asked for.
    #[error(
        "out of memory on {device}: {bytes} more bytes were asked for, {free} of {total} are free\n  mend: a smaller batch_size \
         with more gradient_accumulation_steps, or use_gradient_checkpointing"
    )]
    OutOfMemory {
        /// Which device.
        device: String,
        /// What was asked for.
        bytes: usize,
        /// Free memory, in bytes.
        free: usize,
        /// All memory, in bytes.
        total: usize,
    },
    /// There is no kernel for that.
    #[error("{op} is not available on CUDA for {what}\n  mend: --device cpu")]
    Unsupported {
        /// The op.
        op: &'static str,
        /// The element type, or the size, that it cannot do.
        what: String,
    },
    /// cuBLAS was asked for, and cannot be had.
    #[error(
        "cuBLAS was asked for (FOUNDRY_GEMM=cublas), but {0}\n  mend: put the folder of NVIDIA's libcublas into \
         LD_LIBRARY_PATH, or unset FOUNDRY_GEMM: Foundry has products of its own"
    )]
    NoCublas(String),
    /// Anything else that the driver reports.
    #[error("CUDA: {what}: {name}: {text}")]
    Failed {
        /// What was tried.
        what: String,
        /// The driver's name of the error.
        name: String,
        /// The driver's description of it.
        text: String,
    },
}

impl DeviceError {
    pub(super) fn driver(what: impl Into<String>, e: DriverError) -> Self {
        let text = |s: Result<&CStr, DriverError>| {
            s.map_or_else(|_| "unknown".to_owned(), |s| s.to_string_lossy().into_owned())
        };
        Self::Failed { what: what.into(), name: text(e.error_name()), text: text(e.error_string()) }
    }
}
