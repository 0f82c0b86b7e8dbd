//! The memory behind a tensor.

use crate::device::{CpuDevice, Device};
use bytemuck::Pod;
use foundry_kernels::cpu::memory::Block;

/// Memory on a device; dropping it gives it back to the device's pool.
#[derive(Debug)]
pub(crate) enum Buffer {
    Cpu(CpuBuffer),
}

impl Buffer {
    /// Memory for `bytes` bytes with unspecified contents.
    pub(crate) fn new(device: &Device, bytes: usize) -> Self {
        match device {
            Device::Cpu(cpu) => {
                Self::Cpu(CpuBuffer { memory: cpu.pool.take(bytes), device: cpu.clone() })
            }
        }
    }

    pub(crate) fn device(&self) -> Device {
        match self {
            Self::Cpu(b) => Device::Cpu(b.device.clone()),
        }
    }
}

/// Memory of the processor, as whole cache lines.
#[derive(Debug)]
pub(crate) struct CpuBuffer {
    memory: Vec<Block>,
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
