//! An array of numbers: contiguous, immutable, cheap to clone.

use crate::buffer::Buffer;
use crate::tape::Var;
use crate::{DType, Device, Real, Shape, Spec};
use bytemuck::Pod;
use std::fmt;
use std::sync::Arc;

/// An array of up to five axes, row-major, on one device.
///
/// A clone shares the memory. A tensor that came from a tape's leaf (a parameter in training) is *tracked*: what is
/// computed from it is recorded, and [`Tensor::backward`] finds gradients.
///
/// ```
/// use foundry_engine::{Device, Tensor};
/// let x = Tensor::from_f32(&Device::cpu(), [2, 2], &[1.0, 2.0, 3.0, 4.0]);
/// assert_eq!(x.reshape([4]).to_vec::<f32>(), [1.0, 2.0, 3.0, 4.0]);
/// ```
#[derive(Clone)]
pub struct Tensor {
    buffer: Arc<Buffer>,
    /// In elements.
    offset: usize,
    spec: Spec,
    var: Option<Var>,
    /// See [`Tensor::constant`].
    constant: Option<f64>,
}

impl Tensor {
    /// A tensor whose contents are unspecified: a kernel is about to write them.
    pub(crate) fn uninitialised(device: &Device, spec: Spec) -> Self {
        let buffer = Arc::new(Buffer::new(device, spec.bytes()));
        Self { buffer, offset: 0, spec, var: None, constant: None }
    }

    /// A tensor without memory: only its spec may be asked for.
    pub(crate) fn outline(device: &Device, spec: Spec) -> Self {
        Self {
            buffer: Arc::new(Buffer::new(device, 0)),
            offset: 0,
            spec,
            var: None,
            constant: None,
        }
    }

    #[track_caller]
    fn from_slice<T: Pod>(device: &Device, spec: Spec, data: &[T]) -> Self {
        assert_eq!(
            spec.numel(),
            data.len(),
            "a tensor of shape {} needs {} elements, got {}",
            spec.shape,
            spec.numel(),
            data.len()
        );
        let mut tensor = Self::uninitialised(device, spec);
        tensor.buffer_mut().write(data);
        tensor
    }

    /// A tensor with these elements.
    ///
    /// # Panics
    /// If the number of elements is not that of the shape; so for the constructors below.
    #[track_caller]
    pub fn from_f32(device: &Device, shape: impl Into<Shape>, data: &[f32]) -> Self {
        Self::from_slice(device, Spec::new(shape, DType::F32), data)
    }

    /// A tensor with these elements.
    #[track_caller]
    pub fn from_f64(device: &Device, shape: impl Into<Shape>, data: &[f64]) -> Self {
        Self::from_slice(device, Spec::new(shape, DType::F64), data)
    }

    /// A tensor of ids.
    #[track_caller]
    pub fn from_u32(device: &Device, shape: impl Into<Shape>, data: &[u32]) -> Self {
        Self::from_slice(device, Spec::new(shape, DType::U32), data)
    }

    /// A tensor with these elements, of either number type.
    #[track_caller]
    pub fn from_real<R: Real>(device: &Device, shape: impl Into<Shape>, data: &[R]) -> Self {
        Self::from_slice(device, Spec::new(shape, DType::of::<R>()), data)
    }

    /// A tensor with all elements `value` (rounded to the element type).
    #[must_use]
    pub fn full(device: &Device, spec: Spec, value: f64) -> Self {
        let mut tensor = Self::uninitialised(device, spec);
        tensor.buffer_mut().fill(spec, value);
        tensor.constant = Some(value);
        tensor
    }

    /// A tensor of zeros.
    #[must_use]
    pub fn zeros(device: &Device, spec: Spec) -> Self {
        Self::full(device, spec, 0.0)
    }

    /// The extents.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.spec.shape
    }

    /// The extents, destructured: `let [b, t, d] = x.dims();`
    ///
    /// # Panics
    /// If the tensor does not have exactly N axes.
    #[must_use]
    #[track_caller]
    pub fn dims<const N: usize>(&self) -> [usize; N] {
        self.spec.shape.dims()
    }

    /// The element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.spec.dtype
    }

    /// Shape and element type.
    #[must_use]
    pub fn spec(&self) -> Spec {
        self.spec
    }

    /// Where the tensor lives.
    #[must_use]
    pub fn device(&self) -> Device {
        self.buffer.device()
    }

    /// The number of elements.
    #[must_use]
    pub fn numel(&self) -> usize {
        self.spec.numel()
    }

    /// A copy of the elements.
    ///
    /// # Panics
    /// If R is not the element type.
    #[must_use]
    #[track_caller]
    pub fn to_vec<R: Real>(&self) -> Vec<R> {
        self.expect_dtype(DType::of::<R>());
        self.data()
    }

    /// A copy of the elements, widened to f64.
    #[must_use]
    #[track_caller]
    pub fn to_vec_f64(&self) -> Vec<f64> {
        match self.dtype() {
            DType::F32 => self.data::<f32>().into_iter().map(f64::from).collect(),
            DType::F64 => self.data(),
            DType::U32 => self.data::<u32>().into_iter().map(f64::from).collect(),
        }
    }

    /// A copy of the ids.
    ///
    /// # Panics
    /// If the tensor does not hold ids.
    #[must_use]
    #[track_caller]
    pub fn to_vec_u32(&self) -> Vec<u32> {
        self.expect_dtype(DType::U32);
        self.data()
    }

    /// The only element.
    ///
    /// # Panics
    /// If there is not exactly one.
    #[must_use]
    #[track_caller]
    pub fn item(&self) -> f64 {
        assert_eq!(self.numel(), 1, "item() of a tensor of shape {}", self.shape());
        self.to_vec_f64()[0]
    }

    /// The same numbers in another element type.
    #[must_use]
    #[track_caller]
    pub fn to_dtype(&self, dtype: DType) -> Self {
        let values = self.to_vec_f64();
        let mut out = Self::uninitialised(&self.device(), Spec::new(self.spec.shape, dtype));
        let buffer = out.buffer_mut();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounds")]
        match dtype {
            DType::F32 => buffer.write(&values.iter().map(|&x| x as f32).collect::<Vec<_>>()),
            DType::F64 => buffer.write(&values),
            DType::U32 => buffer.write(&values.iter().map(|&x| x as u32).collect::<Vec<_>>()),
        }
        out
    }

    /// The same numbers on another device; not tracked.
    #[must_use]
    pub fn to_device(&self, device: &Device) -> Self {
        if self.device() == *device {
            return self.detach();
        }
        let mut out = Self::uninitialised(device, self.spec);
        match self.dtype() {
            DType::F32 => out.buffer_mut().write(&self.data::<f32>()),
            DType::F64 => out.buffer_mut().write(&self.data::<f64>()),
            DType::U32 => out.buffer_mut().write(&self.data::<u32>()),
        }
        out
    }

    /// The value of all elements, where it is known without looking: in a tensor that [`Tensor::full`] made.
    pub(crate) fn constant(&self) -> Option<f64> {
        self.constant
    }

    /// The same tensor, not tracked.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self { var: None, ..self.clone() }
    }

    /// Whether what is computed from this tensor is recorded.
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        self.var.is_some()
    }

    /// Runs the tape backwards from this scalar and returns the gradients of everything that led to it.
    ///
    /// # Panics
    /// If the tensor is not tracked, is not a scalar, or its tape was run before.
    #[must_use]
    #[track_caller]
    pub fn backward(&self) -> crate::Grads {
        let Some(var) = &self.var else {
            crate::check::fail(
                "backward",
                "a tensor that is on no tape",
                "a tracked scalar",
                "compute the loss in a Ctx that has a tape",
            );
        };
        assert_eq!(
            self.numel(),
            1,
            "backward() from a tensor of shape {}; the loss is one number",
            self.shape()
        );
        let one = Self::full(&self.device(), self.spec, 1.0);
        var.tape.backward(&[(self, one)])
    }

    pub(crate) fn var(&self) -> Option<&Var> {
        self.var.as_ref()
    }

    pub(crate) fn with_var(mut self, var: Var) -> Self {
        self.var = Some(var);
        self
    }

    /// The same memory seen with another shape, and not tracked: the kernel-free half of `reshape`.
    pub(crate) fn alias(&self, shape: Shape) -> Self {
        debug_assert_eq!(shape.numel(), self.numel());
        Self { spec: self.spec.with_shape(shape), var: None, ..self.clone() }
    }

    pub(crate) fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// In elements.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// The memory for writing: this tensor's own, or a copy of it if others share it.
    pub(crate) fn buffer_mut(&mut self) -> &mut Buffer {
        self.constant = None;
        if Arc::get_mut(&mut self.buffer).is_none() || self.offset != 0 {
            let mut copy = Buffer::new(&self.device(), self.spec.bytes());
            copy.copy_from(&self.buffer, self.spec, self.offset);
            (self.buffer, self.offset) = (Arc::new(copy), 0);
        }
        let Some(buffer) = Arc::get_mut(&mut self.buffer) else {
            unreachable!("the buffer was just made, or found to be unshared")
        };
        buffer
    }

    fn data<T: Pod>(&self) -> Vec<T> {
        self.buffer.read(self.offset, self.numel())
    }

    #[track_caller]
    fn expect_dtype(&self, dtype: DType) {
        assert_eq!(
            self.dtype(),
            dtype,
            "asked for {dtype} elements of a tensor of {}",
            self.dtype()
        );
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor {}", self.spec)?;
        if self.var.is_some() {
            f.write_str(" tracked")?;
        }
        if self.numel() <= 16 {
            write!(f, " {:?}", self.to_vec_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_tensor__clone_shares_and_writing_does_not() {
        let cpu = Device::cpu();
        let x = Tensor::from_f32(&cpu, [2], &[1.0, 2.0]);
        let mut y = x.clone();
        y.buffer_mut().write(&[5.0_f32]);
        assert_eq!((x.to_vec::<f32>(), y.to_vec::<f32>()), (vec![1.0, 2.0], vec![5.0, 2.0]));
    }

    #[test]
    fn test_tensor__sizes_zero_and_one() {
        let cpu = Device::cpu();
        assert!(Tensor::zeros(&cpu, Spec::new([0, 3], DType::F64)).to_vec::<f64>().is_empty());
        assert_eq!(
            Tensor::full(&cpu, Spec::new([], DType::F32), 2.5).item().to_bits(),
            2.5_f64.to_bits()
        );
    }

    #[test]
    #[should_panic(expected = "needs 3 elements, got 2")]
    fn test_tensor__wrong_length() {
        let _ = Tensor::from_u32(&Device::cpu(), [3], &[1, 2]);
    }
}
