//! What an op is given to run on a GPU.

use super::{CudaBuffer, CudaDevice, DeviceError};
use crate::{DType, Shape, Spec};
use foundry_kernels::cuda::blas::Product;
use foundry_kernels::cuda::launch::{Call, Pointer};
use foundry_kernels::cuda::tensor_cores::{Half, Mixed};
use smallvec::SmallVec;

/// An op's inputs and outputs on a GPU: addresses, of numbers whose type is checked when they are asked for.
pub struct CudaArgs<'a> {
    op: &'static str,
    device: &'a CudaDevice,
    x: SmallVec<[(Spec, Pointer); 8]>,
    y: SmallVec<[(Spec, Pointer); 4]>,
    /// Given back when the op is queued: whoever gets it next is behind it on the stream.
    scratch: Vec<CudaBuffer>,
}

/// An error that names op and size.
pub(super) fn too_large(op: &'static str, n: usize) -> DeviceError {
    DeviceError::Unsupported { op, what: format!("{n} elements in one tensor") }
}

impl<'a> CudaArgs<'a> {
    pub(crate) fn new(op: &'static str, device: &'a CudaDevice) -> Self {
        Self { op, device, x: SmallVec::new(), y: SmallVec::new(), scratch: vec![] }
    }

    pub(crate) fn push_input(&mut self, spec: Spec, at: Pointer) {
        self.x.push((spec, at));
    }

    pub(crate) fn push_output(&mut self, spec: Spec, at: Pointer) {
        self.y.push((spec, at));
    }

    /// The number of inputs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// Whether there are no inputs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }

    fn typed(&self, (spec, at): (Spec, Pointer), dtype: DType) -> Result<Pointer, DeviceError> {
        if spec.dtype != dtype {
            return Err(self.unsupported(format!("{} elements", spec.dtype)));
        }
        self.size(spec.numel())?;
        Ok(at)
    }

    /// Input i, of f32.
    ///
    /// # Errors
    /// If it is of another type; so for the ones below.
    pub fn x(&self, i: usize) -> Result<Pointer, DeviceError> {
        self.typed(self.x[i], DType::F32)
    }

    /// Input i, of ids.
    ///
    /// # Errors
    /// See [`x`](Self::x).
    pub fn ids(&self, i: usize) -> Result<Pointer, DeviceError> {
        self.typed(self.x[i], DType::U32)
    }

    /// Input i, of f64: sums that are f64 whatever is summed.
    ///
    /// # Errors
    /// See [`x`](Self::x).
    pub fn x_wide(&self, i: usize) -> Result<Pointer, DeviceError> {
        self.typed(self.x[i], DType::F64)
    }

    /// The first N inputs, of f32.
    ///
    /// # Errors
    /// See [`x`](Self::x).
    pub fn inputs<const N: usize>(&self) -> Result<[Pointer; N], DeviceError> {
        let mut all = [Pointer(0); N];
        for (i, at) in all.iter_mut().enumerate() {
            *at = self.x(i)?;
        }
        Ok(all)
    }

    /// Output i, of f32.
    ///
    /// # Errors
    /// See [`x`](Self::x).
    pub fn y(&self, i: usize) -> Result<Pointer, DeviceError> {
        self.typed(self.y[i], DType::F32)
    }

    /// Output i, of f64.
    ///
    /// # Errors
    /// See [`x`](Self::x).
    pub fn y_wide(&self, i: usize) -> Result<Pointer, DeviceError> {
        self.typed(self.y[i], DType::F64)
    }

    /// The first N outputs, of f32.
    ///
    /// # Errors
    /// See [`x`](Self::x).
    pub fn outputs<const N: usize>(&self) -> Result<[Pointer; N], DeviceError> {
        let mut all = [Pointer(0); N];
        for (i, at) in all.iter_mut().enumerate() {
            *at = self.y(i)?;
        }
        Ok(all)
    }

    /// The shape of input i.
    #[must_use]
    pub fn shape(&self, i: usize) -> &Shape {
        &self.x[i].0.shape
    }

    /// The shape of output i.
    #[must_use]
    pub fn out_shape(&self, i: usize) -> &Shape {
        &self.y[i].0.shape
    }

    /// A size as the kernels count.
    ///
    /// # Errors
    /// If it is 2^32 or more.
    pub fn size(&self, n: usize) -> Result<u32, DeviceError> {
        u32::try_from(n).map_err(|_| too_large(self.op, n))
    }

    /// Sizes as the kernels count.
    ///
    /// # Errors
    /// See [`size`](Self::size).
    pub fn sizes<const N: usize>(&self, n: [usize; N]) -> Result<[u32; N], DeviceError> {
        let mut all = [0; N];
        for (to, from) in all.iter_mut().zip(n) {
            *to = self.size(from)?;
        }
        Ok(all)
    }

    /// The number of elements of input i.
    ///
    /// # Errors
    /// See [`size`](Self::size).
    pub fn numel(&self, i: usize) -> Result<u32, DeviceError> {
        self.size(self.shape(i).numel())
    }

    /// Memory for n f32 until the op is done.
    ///
    /// # Errors
    /// If the device has not that much left.
    pub fn scratch(&mut self, n: usize) -> Result<Pointer, DeviceError> {
        self.scratch_bytes(4 * n)
    }

    /// Memory for n numbers of 16 bits until the op is done.
    ///
    /// # Errors
    /// If the device has not that much left.
    pub fn scratch_halves(&mut self, n: usize) -> Result<Pointer, DeviceError> {
        self.scratch_bytes(2 * n)
    }

    fn scratch_bytes(&mut self, bytes: usize) -> Result<Pointer, DeviceError> {
        let buffer = CudaBuffer::new(self.device, bytes);
        self.device.check()?;
        let at = buffer.at(0);
        self.scratch.push(buffer);
        Ok(at)
    }

    /// What factors are rounded to on this device, if they are.
    #[must_use]
    pub fn half(&self) -> Option<Half> {
        self.device.half()
    }

    /// Queues kernels, in order. In mixed precision the products among them go to the tensor cores, where [`Mixed::of`] says
    /// so.
    ///
    /// # Errors
    /// If the driver refuses, or has no memory for the rounded factors.
    pub fn launch(&self, calls: impl IntoIterator<Item = Call>) -> Result<(), DeviceError> {
        for call in calls {
            let mixed = self.half().zip(call.product).and_then(|(half, p)| Mixed::of(&p, half));
            match mixed {
                None => self.queue(&call),
                Some(mixed) => {
                    // Given back at once: whoever gets it next, the next product mostly, is behind this one on the stream.
                    let room = mixed.room().map(|bytes| CudaBuffer::new(self.device, bytes));
                    mixed
                        .calls(room.each_ref().map(|r| r.at(0)))
                        .iter()
                        .for_each(|c| self.queue(c));
                }
            }
        }
        self.device.check()
    }

    /// Queues a kernel, or, where cuBLAS multiplies, the product that it computes.
    fn queue(&self, call: &Call) {
        let product = call.product.as_ref().zip(self.device.cublas());
        let product = product.and_then(|(gemm, cublas)| Some((cublas, Product::of(gemm)?)));
        self.device.attempt(|gpu| match product {
            Some((cublas, product)) => cublas.launch(&product),
            None => gpu.launch(call),
        });
    }

    /// The error of an op that cannot do something here.
    #[must_use]
    pub fn unsupported(&self, what: impl Into<String>) -> DeviceError {
        DeviceError::Unsupported { op: self.op, what: what.into() }
    }
}
