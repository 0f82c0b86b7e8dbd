//! The memory behind a tensor on a GPU.

use super::CudaDevice;
use crate::{DType, Spec};
use foundry_kernels::cuda::driver::Allocation;
use foundry_kernels::cuda::fill::fill_bits;
use foundry_kernels::cuda::launch::{NULL, Pointer};
use std::fmt;

/// Memory of a GPU; dropping it gives it back to the device.
pub(crate) struct CudaBuffer {
    /// None where there is nothing to hold, and after an error of the device.
    memory: Option<Allocation>,
    class: usize,
    device: CudaDevice,
}

impl CudaBuffer {
    /// Memory for `bytes` bytes with unspecified contents.
    pub(crate) fn new(device: &CudaDevice, bytes: usize) -> Self {
        let (memory, class) = device.take(bytes);
        Self { memory, class, device: device.clone() }
    }

    pub(crate) fn device(&self) -> &CudaDevice {
        &self.device
    }

    /// Where it is, `offset` bytes further on; null if it is nowhere.
    pub(crate) fn at(&self, offset: usize) -> Pointer {
        self.memory.as_ref().map_or(NULL, |m| Pointer(m.at().0 + offset as u64))
    }

    /// Queues a copy of these bytes to its beginning.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let at = self.at(0);
        self.device.attempt(|gpu| gpu.upload(bytes, at));
    }

    /// Waits for the device, and copies bytes from `offset` on. After an error of the device they are all ones (NaN).
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        let at = self.at(offset);
        if self.device.attempt(|gpu| gpu.download(at, bytes)).is_none() {
            bytes.fill(0xff);
        }
    }

    /// Queues a copy of `bytes` bytes of another buffer of this device to its beginning.
    pub(crate) fn copy_from(&mut self, other: &Self, offset: usize, bytes: usize) {
        let (from, to) = (other.at(offset), self.at(0));
        self.device.attempt(|gpu| gpu.copy(from, to, bytes));
    }

    /// Queues setting all elements to a value, rounded to their type.
    pub(crate) fn fill(&mut self, spec: Spec, value: f64) {
        let at = self.at(0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounds")]
        let bits = match spec.dtype {
            DType::F32 => (value as f32).to_bits(),
            DType::U32 => value as u32,
            DType::F64 => {
                let values = vec![value; spec.numel()];
                return self.write(bytemuck::must_cast_slice(&values));
            }
        };
        let elements = u32::try_from(spec.numel());
        self.device.attempt(|gpu| match elements {
            _ if bits == 0 => gpu.clear(at, spec.bytes()),
            Ok(n) => gpu.launch(&fill_bits(at, n, bits)),
            Err(_) => Err(super::args::too_large("fill", spec.numel())),
        });
    }
}

impl Drop for CudaBuffer {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.device.give(memory, self.class);
        }
    }
}

impl fmt::Debug for CudaBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CudaBuffer on {}", self.device)
    }
}
