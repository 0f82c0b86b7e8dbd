//! Where tensors live and operations run.

use crate::cuda::{CudaDevice, Description, DeviceError, Multiplier, Precision};
use crate::pool::Pool;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A place for tensors: a closed set, chosen at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu(CpuDevice),
    /// A GPU of NVIDIA.
    Cuda(CudaDevice),
}

impl Device {
    /// The processor, with the memory pool that the whole process shares.
    #[must_use]
    pub fn cpu() -> Self {
        static CPU: OnceLock<CpuDevice> = OnceLock::new();
        Self::Cpu(CPU.get_or_init(CpuDevice::default).clone())
    }

    /// GPU number `ordinal`; the same device every time.
    ///
    /// # Errors
    /// If there is no driver or no such device.
    pub fn cuda(ordinal: usize) -> Result<Self, DeviceError> {
        CudaDevice::open(ordinal).map(Self::Cuda)
    }

    /// GPU number `ordinal` once more: its memory and its errors are its own.
    ///
    /// # Errors
    /// If there is no driver or no such device.
    pub fn cuda_unshared(ordinal: usize) -> Result<Self, DeviceError> {
        CudaDevice::new(ordinal).map(Self::Cuda)
    }

    /// The same device with its products in another precision. Tensors of one precision do not meet those of another.
    ///
    /// # Errors
    /// If it cannot compute so: the processor in anything but f32, a GPU without the tensor cores for it.
    pub fn with_precision(&self, precision: Precision) -> Result<Self, DeviceError> {
        match self {
            Self::Cuda(cuda) => cuda.with_precision(precision).map(Self::Cuda),
            Self::Cpu(_) if precision == Precision::Fp32 => Ok(self.clone()),
            Self::Cpu(_) => {
                Err(DeviceError::NeedsCuda { precision: precision.to_string(), why: String::new() })
            }
        }
    }

    /// How it multiplies.
    #[must_use]
    pub fn precision(&self) -> Precision {
        match self {
            Self::Cpu(_) => Precision::Fp32,
            Self::Cuda(cuda) => cuda.precision(),
        }
    }

    /// The GPUs of this machine, in the order of their numbers.
    ///
    /// # Errors
    /// If there is no driver, or it refuses.
    pub fn cuda_status() -> Result<Vec<Description>, DeviceError> {
        foundry_kernels::cuda::driver::devices()
    }

    /// Who multiplies matrices on the GPUs of this machine, if it has any.
    ///
    /// # Errors
    /// If cuBLAS is asked for and is not there.
    pub fn cuda_multiplier() -> Result<Multiplier, DeviceError> {
        foundry_kernels::cuda::cublas::choose()
    }

    /// Its name, what is behind it, and how it multiplies.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Cpu(_) => "cpu".to_owned(),
            Self::Cuda(cuda) => {
                let (name, by) = (&cuda.description().name, cuda.multiplier().explain());
                let precision = match cuda.precision() {
                    Precision::Fp32 => String::new(),
                    mixed => format!(", {mixed}"),
                };
                format!("{cuda} ({name}){precision}, products by {by}")
            }
        }
    }

    /// What rounds its numbers: results of two devices with one name have the same bits.
    #[must_use]
    pub fn arithmetic(&self) -> String {
        match self {
            Self::Cpu(_) => foundry_kernels::cpu::isa::Isa::current().name().to_owned(),
            Self::Cuda(cuda) => {
                let (major, minor) = cuda.description().capability;
                let mut name = format!("cuda sm_{major}{minor}");
                if cuda.precision() != Precision::Fp32 {
                    name += &format!(" {}", cuda.precision());
                }
                if let Multiplier::Cublas { .. } = cuda.multiplier() {
                    name += &format!(" {}", cuda.multiplier());
                }
                name
            }
        }
    }

    /// Whether everything that ran here so far went well, as far as is known without waiting: ops do not say.
    ///
    /// # Errors
    /// The first thing that did not. It stays: nothing that comes later happens.
    pub fn check(&self) -> Result<(), DeviceError> {
        match self {
            Self::Cpu(_) => Ok(()),
            Self::Cuda(cuda) => cuda.check(),
        }
    }

    /// Waits until everything that was asked of it is done.
    pub fn synchronize(&self) {
        if let Self::Cuda(cuda) = self {
            cuda.synchronize();
        }
    }
}

impl From<CpuDevice> for Device {
    fn from(cpu: CpuDevice) -> Self {
        Self::Cpu(cpu)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(_) => f.write_str("cpu"),
            Self::Cuda(cuda) => cuda.fmt(f),
        }
    }
}

/// The processor: its tensors' memory comes from one caching pool. Its threads are those of the rayon pool in which
/// the caller runs.
#[derive(Clone, Default)]
pub struct CpuDevice {
    pub(crate) pool: Arc<Pool>,
}

impl CpuDevice {
    /// Memory kept for reuse that no tensor holds, in bytes.
    #[must_use]
    pub fn idle_bytes(&self) -> usize {
        self.pool.idle_bytes()
    }

    /// Returns idle memory to the system.
    pub fn trim(&self) {
        self.pool.trim();
    }
}

impl PartialEq for CpuDevice {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pool, &other.pool)
    }
}

impl Eq for CpuDevice {}

impl fmt::Debug for CpuDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cpu")
    }
}
