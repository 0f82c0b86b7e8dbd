//! Where tensors live and operations run.

use crate::pool::Pool;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A place for tensors: a closed set, chosen at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu(CpuDevice),
}

impl Device {
    /// The processor, with the memory pool that the whole process shares.
    #[must_use]
    pub fn cpu() -> Self {
        static CPU: OnceLock<CpuDevice> = OnceLock::new();
        Self::Cpu(CPU.get_or_init(CpuDevice::default).clone())
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
