//! CUDA devices: memory that is kept for reuse, and one stream on which everything runs in order.
//!
//! Nothing here waits for the device but reading a tensor. An op therefore cannot know whether it succeeded: the first error
//! of a device is kept, what is asked of it afterwards does nothing, and [`Device::check`](crate::Device::check), called where
//! a step ends, says what went wrong.

mod args;
mod buffer;

pub use args::CudaArgs;
pub(crate) use buffer::CudaBuffer;
pub use foundry_kernels::cuda::cublas::Choice as Multiplier;
pub use foundry_kernels::cuda::driver::{Description, DeviceError};

use crate::pool::size_class;
use foundry_kernels::cuda::cublas::Cublas;
use foundry_kernels::cuda::driver::{Allocation, Gpu};
use foundry_kernels::cuda::tensor_cores::Half;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A GPU, and how it multiplies.
#[derive(Clone)]
pub struct CudaDevice {
    inner: Arc<Inner>,
    precision: Precision,
}

/// What the factors of products and of attention are rounded to. Tensors, sums, and all other arithmetic are f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Not rounded.
    #[default]
    Fp32,
    /// bf16: the range of f32, eight bits of fraction.
    Bf16,
    /// f16: eleven bits of fraction, but nothing beyond 65504, and little below 6e-8.
    Fp16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
        })
    }
}

struct Inner {
    ordinal: usize,
    gpu: Arc<Gpu>,
    multiplier: Multiplier,
    cublas: Option<Cublas>,
    /// Memory that no tensor holds, by size. Whoever gets it queues work behind that of its last owner, on one stream: so it
    /// can be given out at once.
    free: Mutex<BTreeMap<usize, Vec<Allocation>>>,
    error: Mutex<Option<DeviceError>>,
}

/// Bytes to which sizes are rounded before their class is taken.
const GRAIN: usize = 256;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CudaDevice {
    /// Device number `ordinal`; the same one every time.
    ///
    /// # Errors
    /// If there is no driver or no such device.
    pub(crate) fn open(ordinal: usize) -> Result<Self, DeviceError> {
        static OPEN: Mutex<BTreeMap<usize, CudaDevice>> = Mutex::new(BTreeMap::new());
        let mut open = lock(&OPEN);
        if let Some(device) = open.get(&ordinal) {
            return Ok(device.clone());
        }
        let device = Self::new(ordinal)?;
        open.insert(ordinal, device.clone());
        Ok(device)
    }

    /// Device number `ordinal`, with memory and errors of its own.
    ///
    /// # Errors
    /// If there is no driver or no such device, or no cuBLAS where it was asked for.
    pub(crate) fn new(ordinal: usize) -> Result<Self, DeviceError> {
        let gpu = Gpu::open(ordinal)?;
        let (multiplier, cublas) = Cublas::open(&gpu)?;
        let (free, error) = (Mutex::default(), Mutex::default());
        let inner = Inner { ordinal, gpu, multiplier, cublas, free, error };
        Ok(Self { inner: Arc::new(inner), precision: Precision::Fp32 })
    }

    /// What it is.
    #[must_use]
    pub fn description(&self) -> &Description {
        self.inner.gpu.description()
    }

    /// Who multiplies on it.
    #[must_use]
    pub fn multiplier(&self) -> &Multiplier {
        &self.inner.multiplier
    }

    pub(crate) fn cublas(&self) -> Option<&Cublas> {
        self.inner.cublas.as_ref()
    }

    /// The same device with products in another precision.
    ///
    /// # Errors
    /// If it has no tensor cores for that.
    pub(crate) fn with_precision(&self, precision: Precision) -> Result<Self, DeviceError> {
        let Description { name, capability, .. } = self.description().clone();
        if precision != Precision::Fp32 && capability.0 < 8 {
            let precision = precision.to_string();
            return Err(DeviceError::NoTensorCores { precision, name, capability });
        }
        Ok(Self { inner: self.inner.clone(), precision })
    }

    /// How it multiplies.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// What factors are rounded to, if they are.
    pub(crate) fn half(&self) -> Option<Half> {
        match self.precision {
            Precision::Fp32 => None,
            Precision::Bf16 => Some(Half::Bf16),
            Precision::Fp16 => Some(Half::F16),
        }
    }

    /// The first thing that went wrong, if anything did.
    ///
    /// # Errors
    /// That.
    pub(crate) fn check(&self) -> Result<(), DeviceError> {
        match &*lock(&self.inner.error) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Does something on the device, unless something went wrong before; what goes wrong is kept.
    pub(crate) fn attempt<T>(
        &self,
        what: impl FnOnce(&Arc<Gpu>) -> Result<T, DeviceError>,
    ) -> Option<T> {
        if lock(&self.inner.error).is_some() {
            return None;
        }
        match what(&self.inner.gpu) {
            Ok(value) => Some(value),
            Err(error) => {
                lock(&self.inner.error).get_or_insert(error);
                None
            }
        }
    }

    /// Memory for `bytes` bytes, and its class. None of nothing, and after an error.
    fn take(&self, bytes: usize) -> (Option<Allocation>, usize) {
        let class = size_class(bytes.div_ceil(GRAIN));
        if class == 0 {
            return (None, 0);
        }
        let reused = lock(&self.inner.free).get_mut(&class).and_then(Vec::pop);
        let fresh = || {
            self.attempt(|gpu| {
                gpu.alloc(class * GRAIN).or_else(|error| {
                    // What lies idle in other sizes may be enough.
                    if matches!(error, DeviceError::OutOfMemory { .. }) && self.trim() {
                        gpu.synchronize()?;
                        return gpu.alloc(class * GRAIN);
                    }
                    Err(error)
                })
            })
        };
        (reused.or_else(fresh), class)
    }

    fn give(&self, memory: Allocation, class: usize) {
        lock(&self.inner.free).entry(class).or_default().push(memory);
    }

    /// Returns idle memory to the driver; whether there was any.
    pub fn trim(&self) -> bool {
        let idle = std::mem::take(&mut *lock(&self.inner.free));
        idle.values().any(|list| !list.is_empty())
    }

    /// Waits for everything that was queued.
    pub fn synchronize(&self) {
        self.attempt(|gpu| gpu.synchronize());
    }
}

impl PartialEq for CudaDevice {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner) && self.precision == other.precision
    }
}

impl Eq for CudaDevice {}

impl fmt::Display for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuda:{}", self.inner.ordinal)
    }
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
