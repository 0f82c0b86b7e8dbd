//! The driver: the module that calls CUDA (through cudarc), as [`cublas`](super::cublas) calls cuBLAS; no other may be
//! unsafe for its sake.
//!
//! libcuda is opened when a device is first asked for, never at start: the same program runs where there is none.
//! `FOUNDRY_CUDA_LIB` names a library to take in its stead. Work is queued on one stream, in order, and nothing here waits
//! for it but [`Gpu::download`].

pub use super::error::DeviceError;
use super::launch::{Argument, Call, Pointer};
use super::registry::Source;
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute};
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaStream};
use cudarc::nvrtc::Ptx;
use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The variable that names a library to take for libcuda.
pub const VARIABLE: &str = "FOUNDRY_CUDA_LIB";

/// Whether a library was named for libcuda.
static NAMED: AtomicBool = AtomicBool::new(false);

/// Whether libcuda is one that was named, by [`VARIABLE`] or [`use_library`], and not the one that this machine has.
pub(super) fn is_named() -> bool {
    NAMED.load(Ordering::Relaxed) || std::env::var_os(VARIABLE).is_some()
}

/// Opens the library that `FOUNDRY_CUDA_LIB` names, if it names one, and says whether there is a driver.
fn library() -> Result<(), DeviceError> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        use_library(&PathBuf::from(path))?;
    }
    // SAFETY: opening a library runs its initialisers; libcuda's have no preconditions.
    if unsafe { sys::is_culib_present() } {
        Ok(())
    } else {
        let name = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so" };
        let hint = format!("there is no {name} on this machine\n  mend: --device cpu");
        Err(DeviceError::NoDriver(hint))
    }
}

/// Takes a library for libcuda: the one at this path, whose own name (soname) is libcuda.so, stays loaded, so that the search
/// for that name finds it. For tests, on Linux; has an effect only before the first device is opened.
///
/// # Errors
/// If it cannot be loaded.
pub fn use_library(path: &Path) -> Result<(), DeviceError> {
    // SAFETY: the caller vouches for the library that it names, as whoever installs a driver does.
    let loaded = unsafe { libloading::Library::new(path) };
    match loaded {
        Ok(library) => {
            std::mem::forget(library);
            NAMED.store(true, Ordering::Relaxed);
            Ok(())
        }
        Err(e) => {
            let place = path.display();
            Err(DeviceError::NoDriver(format!("{VARIABLE}={place}: {e}\n  mend: --device cpu")))
        }
    }
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// What the driver calls it.
    pub name: String,
    /// Major and minor.
    pub capability: (i32, i32),
    /// All its memory, in bytes.
    pub memory: usize,
}

/// The devices of this machine, in the order of their numbers.
///
/// # Errors
/// If there is no driver, or it refuses.
pub fn devices() -> Result<Vec<Description>, DeviceError> {
    let failed = |e| DeviceError::driver("listing the devices", e);
    (0..count()?)
        .map(|ordinal| {
            let ordinal = i32::try_from(ordinal).unwrap_or(i32::MAX);
            let device = result::device::get(ordinal).map_err(failed)?;
            // SAFETY: the device came from the driver.
            let attribute = |a| unsafe { result::device::get_attribute(device, a) };
            let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
            let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
            // SAFETY: the device came from the driver.
            let memory = unsafe { result::device::total_mem(device) }.map_err(failed)?;
            Ok(Description {
                name: result::device::get_name(device).map_err(failed)?,
                capability: (major.map_err(failed)?, minor.map_err(failed)?),
                memory,
            })
        })
        .collect()
}

fn count() -> Result<usize, DeviceError> {
    library()?;
    result::init().map_err(|e| DeviceError::driver("starting the driver", e))?;
    let count = result::device::get_count();
    let count = count.map_err(|e| DeviceError::driver("counting the devices", e))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// A device, its stream, and the kernels that were loaded so far.
pub struct Gpu {
    context: Arc<CudaContext>,
    pub(super) stream: Arc<CudaStream>,
    loaded: Mutex<Loaded>,
    description: Description,
}

#[derive(Default)]
struct Loaded {
    modules: HashMap<&'static str, Arc<CudaModule>>,
    functions: HashMap<&'static str, CudaFunction>,
}

impl Gpu {
    /// Device number `ordinal`.
    ///
    /// # Errors
    /// If there is no driver or no such device, or the device is too old.
    pub fn open(ordinal: usize) -> Result<Arc<Self>, DeviceError> {
        let devices = devices()?;
        let Some(description) = devices.get(ordinal).cloned() else {
            return Err(DeviceError::NoDevice { ordinal, count: devices.len() });
        };
        let Description { name, capability, .. } = description.clone();
        if capability.0 < 7 {
            return Err(DeviceError::TooOld { name, capability });
        }
        let failed = |e| DeviceError::driver(format!("opening device {ordinal}"), e);
        let context = CudaContext::new(ordinal).map_err(failed)?;
        let stream = context.new_stream().map_err(failed)?;
        Ok(Arc::new(Self { context, stream, loaded: Mutex::default(), description }))
    }

    /// What it is.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    pub(super) fn bind(&self) -> Result<(), DeviceError> {
        self.context.bind_to_thread().map_err(|e| DeviceError::driver("taking the context", e))
    }

    /// Memory for `bytes` bytes, at least one, with unspecified contents.
    ///
    /// # Errors
    /// If the device has not that much left.
    pub fn alloc(self: &Arc<Self>, bytes: usize) -> Result<Allocation, DeviceError> {
        self.bind()?;
        let stream = self.stream.cu_stream();
        // SAFETY: the context is bound, the size is not 0, and the stream is alive.
        let at = unsafe {
            if self.context.has_async_alloc() {
                result::malloc_async(stream, bytes.max(1))
            } else {
                result::malloc_sync(bytes.max(1))
            }
        };
        match at {
            Ok(at) => Ok(Allocation { at: Pointer(at), gpu: self.clone() }),
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                let (free, total) = result::mem_get_info().unwrap_or_default();
                let device = self.description.name.clone();
                Err(DeviceError::OutOfMemory { device, bytes, free, total })
            }
            Err(e) => Err(DeviceError::driver(format!("allocating {bytes} bytes"), e)),
        }
    }

    /// Queues a copy to the device; the bytes may be dropped at once.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn upload(&self, bytes: &[u8], to: Pointer) -> Result<(), DeviceError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: the memory of the host is pageable, so the driver has a copy of it when this returns (CUDA driver API, "API
        // synchronization behavior"); that of the device belongs to an allocation, or the driver refuses.
        unsafe { result::memcpy_htod_async(to.0, bytes, self.stream.cu_stream()) }
            .map_err(|e| DeviceError::driver(format!("copying {} bytes to it", bytes.len()), e))
    }

    /// Waits for all work that was queued, and copies from the device.
    ///
    /// # Errors
    /// If the driver refuses, or a kernel that ran before this failed.
    pub fn download(&self, from: Pointer, bytes: &mut [u8]) -> Result<(), DeviceError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.bind()?;
        let what = format!("copying {} bytes from it", bytes.len());
        // SAFETY: `bytes` is borrowed until the stream has done the copy, below.
        let queued = unsafe { result::memcpy_dtoh_async(bytes, from.0, self.stream.cu_stream()) };
        let done = self.stream.synchronize();
        queued.and(done).map_err(|e| DeviceError::driver(what, e))
    }

    /// Queues a copy within the device.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn copy(&self, from: Pointer, to: Pointer, bytes: usize) -> Result<(), DeviceError> {
        if bytes == 0 {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: both lie within allocations, or the driver refuses.
        unsafe { result::memcpy_dtod_async(to.0, from.0, bytes, self.stream.cu_stream()) }
            .map_err(|e| DeviceError::driver(format!("copying {bytes} bytes within it"), e))
    }

    /// Queues setting bytes to zero.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn clear(&self, at: Pointer, bytes: usize) -> Result<(), DeviceError> {
        if bytes == 0 {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: the bytes lie within an allocation, or the driver refuses.
        unsafe { result::memset_d8_async(at.0, 0, bytes, self.stream.cu_stream()) }
            .map_err(|e| DeviceError::driver(format!("clearing {bytes} bytes"), e))
    }

    /// Queues a kernel; one with an empty grid does nothing.
    ///
    /// Calls are made by the functions of this crate, from the typed arguments that their kernels declare; the addresses are
    /// those of allocations of this device that are alive, which is the caller's part of the contract.
    ///
    /// # Errors
    /// If the driver refuses: the kernel itself may still fail later, and the next download reports it.
    pub fn launch(&self, call: &Call) -> Result<(), DeviceError> {
        if call.is_empty() {
            return Ok(());
        }
        self.bind()?;
        let function = self.function(call.source, call.entry)?;
        // Every argument has a word of its own, at whose beginning its bytes stand.
        let words: Vec<[u8; 8]> = call.arguments.iter().map(bytes).collect();
        let mut parameters: Vec<*mut c_void> =
            words.iter().map(|w| w.as_ptr().cast_mut().cast()).collect();
        let ([x, y, z], threads) = (call.grid, (call.threads, 1, 1));
        // SAFETY: the function is loaded and keeps its module; there is one pointer a parameter, in order and of its size,
        // because calls are made by typed functions that the tests of the emulator hold against the texts; the driver copies
        // the parameters before this returns. The kernels write to allocations only: the emulator shows it.
        let queued = unsafe {
            result::launch_kernel(
                function.cu_function(),
                (x, y, z),
                threads,
                0,
                self.stream.cu_stream(),
                &mut parameters,
            )
        };
        queued.map_err(|e| DeviceError::driver(format!("launching {}", call.entry), e))
    }

    /// Waits for all work that was queued.
    ///
    /// # Errors
    /// If any of it failed.
    pub fn synchronize(&self) -> Result<(), DeviceError> {
        self.bind()?;
        self.stream.synchronize().map_err(|e| DeviceError::driver("waiting for it", e))
    }

    fn function(
        &self,
        source: &'static Source,
        entry: &'static str,
    ) -> Result<CudaFunction, DeviceError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = loaded.functions.get(entry) {
            return Ok(function.clone());
        }
        let failed = |e| DeviceError::driver(format!("loading {} of {}", entry, source.file), e);
        let module = match loaded.modules.get(source.file) {
            Some(module) => module.clone(),
            None => {
                let module = self.context.load_module(Ptx::from_src(source.text));
                let module = module.map_err(failed)?;
                loaded.modules.insert(source.file, module.clone());
                module
            }
        };
        let function = module.load_function(entry).map_err(failed)?;
        loaded.functions.insert(entry, function.clone());
        Ok(function)
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuda:{} ({})", self.context.ordinal(), self.description.name)
    }
}

/// The bytes of an argument, and zeros.
fn bytes(argument: &Argument) -> [u8; 8] {
    match *argument {
        Argument::Pointer(Pointer(at)) => at.to_le_bytes(),
        Argument::U32(x) => u64::from(x).to_le_bytes(),
        Argument::F32(x) => u64::from(x.to_bits()).to_le_bytes(),
        Argument::F64(x) => x.to_le_bytes(),
    }
}

/// Memory of a device; dropping it gives it back when the work that was queued before is done.
#[derive(Debug)]
pub struct Allocation {
    at: Pointer,
    gpu: Arc<Gpu>,
}

impl Allocation {
    /// Where it begins.
    #[must_use]
    pub fn at(&self) -> Pointer {
        self.at
    }

    pub(super) fn gpu(&self) -> &Gpu {
        &self.gpu
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        if self.gpu.bind().is_err() {
            return;
        }
        // SAFETY: the memory is this allocation's, and freed once; whoever queued work on it did so before, on this stream. An
        // error can only be an older one, of a kernel, which the next download reports.
        let _ = unsafe {
            if self.gpu.context.has_async_alloc() {
                result::free_async(self.at.0, self.gpu.stream.cu_stream())
            } else {
                result::free_sync(self.at.0)
            }
        };
    }
}
