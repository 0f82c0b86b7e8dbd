//! The device behind the functions: safe code, one of it, behind a lock.

use crate::blas::Blas;
use crate::result::{
    CUresult, INVALID_HANDLE, INVALID_PTX, INVALID_VALUE, LAUNCH_FAILED, NOT_FOUND, OUT_OF_MEMORY,
};
use foundry_ptx_emu::{Kernel, Launch, Memory, Module, Options, Params, Pointer, Watch, launch};
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// Memory, if `FOUNDRY_STANDIN_MEMORY` does not say otherwise: 4 GiB.
const MEMORY: u64 = 4 << 30;

/// A copy to the host that was queued.
pub(crate) struct Pending {
    pub(crate) from: u64,
    /// An address of the host, kept as a number: the copy is made by the function that waits.
    pub(crate) to: usize,
    pub(crate) bytes: usize,
}

/// Everything that the driver knows.
pub(crate) struct Device {
    pub(crate) blas: Blas,
    memory: Memory,
    options: Options,
    modules: Vec<Arc<Module>>,
    /// Module and name.
    functions: Vec<(Arc<Module>, String)>,
    pub(crate) pending: Vec<Pending>,
    broken: bool,
}

static DEVICE: LazyLock<Mutex<Device>> = LazyLock::new(|| Mutex::new(Device::new()));

/// The device.
pub(crate) fn device() -> MutexGuard<'static, Device> {
    DEVICE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Appends a line to the log, if there is one.
pub(crate) fn log(line: &str) {
    let Some(path) = std::env::var_os("FOUNDRY_STANDIN_LOG") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    if let Ok(mut file) = file {
        let _ = writeln!(file, "{line}");
    }
}

/// What it says its compute capability is.
pub(crate) fn capability() -> (i32, i32) {
    let said = std::env::var("FOUNDRY_STANDIN_CAPABILITY").unwrap_or_default();
    let pair = said.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    pair.unwrap_or((8, 0))
}

impl Device {
    fn new() -> Self {
        let number = std::env::var("FOUNDRY_STANDIN_MEMORY").ok().and_then(|n| n.parse().ok());
        let addresses = std::env::var("FOUNDRY_STANDIN_WATCH").is_ok_and(|w| w == "addresses");
        let watch = if addresses { Watch::Addresses } else { Watch::Everything };
        Self {
            blas: Blas::default(),
            memory: Memory::new(number.unwrap_or(MEMORY)),
            options: Options { watch, ..Options::default() },
            modules: vec![],
            functions: vec![],
            pending: vec![],
            broken: false,
        }
    }

    fn working(&self) -> Result<(), CUresult> {
        if self.broken { Err(LAUNCH_FAILED) } else { Ok(()) }
    }

    /// Reports what went wrong as a debugger would.
    fn reported<T>(result: Result<T, impl ToString>, code: CUresult) -> Result<T, CUresult> {
        result.map_err(|e| {
            let _ = writeln!(std::io::stderr(), "stand-in: {}", e.to_string());
            code
        })
    }

    /// (free, all) bytes.
    pub(crate) fn room(&self) -> (u64, u64) {
        let (used, all) = self.memory.used_and_capacity();
        (all - used, all)
    }

    pub(crate) fn alloc(&mut self, bytes: u64) -> Result<u64, CUresult> {
        self.working()?;
        if bytes == 0 {
            return Err(INVALID_VALUE);
        }
        self.memory.alloc(bytes).map(|p| p.0).map_err(|_| OUT_OF_MEMORY)
    }

    pub(crate) fn free(&mut self, at: u64) -> Result<(), CUresult> {
        Self::reported(self.memory.free(Pointer(at)), INVALID_VALUE)
    }

    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), CUresult> {
        self.working()?;
        Self::reported(self.memory.write(Pointer(at), bytes), INVALID_VALUE)
    }

    pub(crate) fn fill(&mut self, at: u64, byte: u8, bytes: u64) -> Result<(), CUresult> {
        self.working()?;
        Self::reported(self.memory.fill(Pointer(at), byte, bytes), INVALID_VALUE)
    }

    pub(crate) fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), CUresult> {
        self.working()?;
        Self::reported(self.memory.read(Pointer(at), bytes), INVALID_VALUE)
    }

    /// The bytes of `count` rows of `width` bytes that begin every `stride` bytes, for who reads as a kernel does: addresses,
    /// and that somebody wrote there.
    pub(crate) fn rows(
        &mut self,
        at: u64,
        [count, width, stride]: [u64; 3],
    ) -> Result<Vec<Vec<u8>>, CUresult> {
        let row = |row| {
            let (at, mut bytes) = (at + row * stride, vec![0; usize::try_from(width).unwrap_or(0)]);
            if self.options.watch == Watch::Everything {
                let written =
                    Self::reported(self.memory.written(Pointer(at), width), LAUNCH_FAILED)?;
                let all = written.iter().all(|w| *w).then_some(());
                Self::reported(
                    all.ok_or(format!("{at:#x}: read, and never written")),
                    LAUNCH_FAILED,
                )?;
            }
            self.read(at, &mut bytes)?;
            Ok(bytes)
        };
        (0..count).map(row).collect()
    }

    /// A number for a module, from 1.
    pub(crate) fn load(&mut self, text: &str) -> Result<usize, CUresult> {
        let module = Self::reported(Module::parse(text), INVALID_PTX)?;
        self.modules.push(Arc::new(module));
        Ok(self.modules.len())
    }

    /// A number for a kernel, from 1.
    pub(crate) fn function(&mut self, module: usize, name: &str) -> Result<usize, CUresult> {
        let module = module.checked_sub(1).and_then(|i| self.modules.get(i));
        let module = module.ok_or(INVALID_HANDLE)?.clone();
        module.kernel(name).ok_or(NOT_FOUND)?;
        self.functions.push((module, name.to_owned()));
        Ok(self.functions.len())
    }

    /// The bytes of every parameter of a kernel.
    pub(crate) fn parameter_sizes(&self, function: usize) -> Result<Vec<usize>, CUresult> {
        let (module, name) = self.entry(function)?;
        let kernel = module.kernel(name).ok_or(NOT_FOUND)?;
        Ok(kernel.parameters().iter().map(|p| p.bytes).collect())
    }

    fn entry(&self, function: usize) -> Result<&(Arc<Module>, String), CUresult> {
        function.checked_sub(1).and_then(|i| self.functions.get(i)).ok_or(INVALID_HANDLE)
    }

    pub(crate) fn launch(
        &mut self,
        function: usize,
        shape: &Launch,
        parameters: &[Vec<u8>],
    ) -> Result<(), CUresult> {
        self.working()?;
        let (module, name) = self.entry(function)?.clone();
        let kernel: &Kernel = module.kernel(&name).ok_or(NOT_FOUND)?;
        let params = parameters.iter().fold(Params::new(), |params, bytes| params.bytes(bytes));
        log(&name);
        let ran = launch(&mut self.memory, kernel, shape, &params, &self.options);
        self.broken = ran.is_err();
        Self::reported(ran, LAUNCH_FAILED).map(|_| ())
    }
}
