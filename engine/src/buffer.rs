//! The memory behind a tensor.

use crate::cuda::CudaBuffer;
use crate::device::{CpuDevice, Device};
use crate::{DType, Spec};
use bytemuck::Pod;
use foundry_kernels::cpu::memory::{Block, Memory};

/// Memory on a device; dropping it gives it back to the device's pool.
#[derive(Debug)]
pub(crate) enum Buffer {
    Cpu(CpuBuffer),
    Cuda(CudaBuffer),
}

impl Buffer {
    /// Memory for `bytes` bytes with unspecified contents.
    pub(crate) fn new(device: &Device, bytes: usize) -> Self {
        match device {
            Device::Cpu(cpu) => {
                Self::Cpu(CpuBuffer { memory: cpu.pool.take(bytes), device: cpu.clone() })
            }
            Device::Cuda(cuda) => Self::Cuda(CudaBuffer::new(cuda, bytes)),
        }
    }

    pub(crate) fn device(&self) -> Device {
        match self {
            Self::Cpu(b) => Device::Cpu(b.device.clone()),
            Self::Cuda(b) => Device::Cuda(b.device().clone()),
        }
    }

    /// The elements `offset ..`, copied to the host.
    pub(crate) fn read<T: Pod>(&self, offset: usize, len: usize) -> Vec<T> {
        match self {
            Self::Cpu(b) => b.slice(offset, len).to_vec(),
            Self::Cuda(b) => {
                let mut values = vec![T::zeroed(); len];
                b.read(offset * size_of::<T>(), bytemuck::cast_slice_mut(&mut values));
                values
            }
        }
    }

    /// Copies elements from the host to its beginning.
    pub(crate) fn write<T: Pod>(&mut self, values: &[T]) {
        match self {
            Self::Cpu(b) => b.slice_mut(0, values.len()).copy_from_slice(values),
            Self::Cuda(b) => b.write(bytemuck::cast_slice(values)),
        }
    }

    /// Sets the elements of a tensor that begins here, rounding to their type.
    pub(crate) fn fill(&mut self, spec: Spec, value: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounds")]
        match (self, spec.dtype) {
            (Self::Cpu(b), DType::F32) => b.slice_mut::<f32>(0, spec.numel()).fill(value as f32),
            (Self::Cpu(b), DType::F64) => b.slice_mut::<f64>(0, spec.numel()).fill(value),
            (Self::Cpu(b), DType::U32) => b.slice_mut::<u32>(0, spec.numel()).fill(value as u32),
            (Self::Cuda(b), _) => b.fill(spec, value),
        }
    }

    /// Copies the elements of another buffer of the same device, from `offset` on, to its beginning.
    pub(crate) fn copy_from(&mut self, other: &Self, spec: Spec, offset: usize) {
        let (from, bytes) = (offset * spec.dtype.bytes(), spec.bytes());
        match (self, other) {
            (Self::Cpu(to), Self::Cpu(b)) => {
                to.slice_mut::<u8>(0, bytes).copy_from_slice(b.slice(from, bytes));
            }
            (Self::Cuda(to), Self::Cuda(b)) => to.copy_from(b, from, bytes),
            _ => unreachable!("a copy stays on its device"),
        }
    }
}

/// Memory of the processor, as whole cache lines.
#[derive(Debug)]
pub(crate) struct CpuBuffer {
    memory: Memory,
    device: CpuDevice,
}

impl CpuBuffer {
    pub(crate) fn slice<T: Pod>(&self, offset: usize, len: usize) -> &[T] {
        &bytemuck::cast_slice(&self.memory)[offset..offset + len]
    }

    pub(crate) fn slice_mut<T: Pod>(&mut self, offset: usize, len: usize) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.memory)[offset..offset + len]
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.memory
    }

    pub(crate) fn blocks_mut(&mut self) -> &mut [Block] {
        &mut self.memory
    }
}

impl Drop for CpuBuffer {
    fn drop(&mut self) {
        self.device.pool.give(std::mem::take(&mut self.memory));
    }
}
