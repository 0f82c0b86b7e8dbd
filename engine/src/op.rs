//! What an operation is, and how it is run.
//!
//! An [`Op`] turns tensors into tensors and knows no gradient. A [`Differentiable`] op also says what its backward
//! needs and how it maps a cotangent of its outputs to cotangents of its inputs (a vector-Jacobian product, vjp).
//! Neither has a default for these: an op without a backward is not differentiable, and the compiler says so.

use crate::{CudaArgs, DType, DeviceError, Real, Shape, Spec, Tensor};
use foundry_kernels::cpu::memory::Block;
use smallvec::SmallVec;
use std::fmt::Debug;
use std::marker::PhantomData;

pub use crate::run::{apply, apply_n, run, run_in_place};
pub use smallvec::smallvec as list;

/// The specs of an op's outputs.
pub type Specs = SmallVec<[Spec; 4]>;
/// What an op keeps for its backward.
pub type Saved = SmallVec<[Tensor; 4]>;
/// One gradient an input, None where none is wanted or there is none.
pub type InputGrads = SmallVec<[Option<Tensor>; 4]>;

/// An operation on tensors.
pub trait Op: Debug + Send + Sync + 'static {
    /// The name under which it is listed, and which its messages begin with.
    fn name(&self) -> &'static str;

    /// The shape rule: the outputs for such inputs. Panics, naming the op, where the inputs do not fit.
    fn output(&self, x: &[Spec]) -> Specs;

    /// Runs on the processor: reads the inputs, writes every element of the outputs.
    /// Ops that are generic over the number type call [`CpuArgs::dispatch`].
    fn cpu(&self, args: CpuArgs<'_>);

    /// Queues on a GPU what [`cpu`](Self::cpu) does.
    ///
    /// # Errors
    /// Where there is no kernel for the types or the sizes, or the driver refuses.
    fn cuda(&self, args: &mut CudaArgs<'_>) -> Result<(), DeviceError>;
}

/// The body of an op, generic over the number type.
pub trait CpuKernel {
    /// Reads `a.x(i)`, writes `a.outputs()`.
    fn run<R: Real>(&self, a: Args<'_, R>);
}

/// An operation with a gradient.
pub trait Differentiable: Op {
    /// Exactly what the backward needs, of the inputs and outputs.
    fn save(&self, x: &[&Tensor], y: &[Tensor]) -> Saved;

    /// The gradients of the inputs. `gy[i]` is the gradient of output i, None if nothing depends on it (never None
    /// for all); `needs[i]` says whether the gradient of input i is wanted. Returns one entry an input.
    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], needs: &[bool]) -> InputGrads;

    /// Adds the gradient of input i to `sum`, what other uses of the input gave, if the op does that with less memory or
    /// time than [`vjp`](Self::vjp) and an addition; says whether it did. Only an op that touches a part of a large
    /// input has reason to.
    fn add_vjp(
        &self,
        _i: usize,
        _sum: &mut Tensor,
        _saved: &[Tensor],
        _gy: &[Option<Tensor>],
    ) -> bool {
        false
    }
}

struct Input<'a> {
    spec: Spec,
    memory: &'a [Block],
    offset: usize,
}

struct Output<'a> {
    spec: Spec,
    memory: Option<&'a mut [Block]>,
}

/// An op's inputs and outputs on the processor, before the number type is known.
pub struct CpuArgs<'a> {
    x: SmallVec<[Input<'a>; 8]>,
    y: SmallVec<[Output<'a>; 4]>,
}

impl<'a> CpuArgs<'a> {
    pub(crate) fn new() -> Self {
        Self { x: SmallVec::new(), y: SmallVec::new() }
    }

    pub(crate) fn push_input(&mut self, spec: Spec, memory: &'a [Block], offset: usize) {
        self.x.push(Input { spec, memory, offset });
    }

    pub(crate) fn push_output(&mut self, spec: Spec, memory: &'a mut [Block]) {
        self.y.push(Output { spec, memory: Some(memory) });
    }

    /// Runs the kernel in the number type of the first real input (or else output).
    ///
    /// # Panics
    /// If there is none.
    pub fn dispatch<K: CpuKernel + ?Sized>(self, kernel: &K) {
        let specs = self.x.iter().map(|x| x.spec).chain(self.y.iter().map(|y| y.spec));
        match specs.map(|s| s.dtype).find(|d| d.is_float()) {
            Some(DType::F32) => kernel.run::<f32>(self.typed()),
            Some(DType::F64) => kernel.run::<f64>(self.typed()),
            Some(DType::U32) | None => {
                panic!("an op without real inputs or outputs cannot dispatch")
            }
        }
    }

    /// The arguments in a number type that the op chose itself.
    #[must_use]
    pub fn typed<R: Real>(self) -> Args<'a, R> {
        Args { args: self, real: PhantomData }
    }
}

/// An op's inputs and outputs on the processor, in number type R.
pub struct Args<'a, R> {
    args: CpuArgs<'a>,
    real: PhantomData<R>,
}

impl<'a, R: Real> Args<'a, R> {
    /// The number of inputs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.args.x.len()
    }

    /// Whether there are no inputs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.args.x.is_empty()
    }

    /// Input i.
    ///
    /// # Panics
    /// If it does not hold numbers of type R.
    #[must_use]
    pub fn x(&self, i: usize) -> &'a [R] {
        self.x_in(i)
    }

    /// Input i, in a number type of its own: sums that are f64 whatever is summed.
    ///
    /// # Panics
    /// If it does not hold numbers of type S.
    #[must_use]
    pub fn x_in<S: Real>(&self, i: usize) -> &'a [S] {
        let x = &self.args.x[i];
        assert_eq!(x.spec.dtype, DType::of::<S>(), "input {i} is {}", x.spec);
        &bytemuck::cast_slice(x.memory)[x.offset..x.offset + x.spec.numel()]
    }

    /// Input i, which holds ids.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn ids(&self, i: usize) -> &'a [u32] {
        let x = &self.args.x[i];
        assert_eq!(x.spec.dtype, DType::U32, "input {i} is {}", x.spec);
        &bytemuck::cast_slice(x.memory)[x.offset..x.offset + x.spec.numel()]
    }

    /// The shape of input i.
    #[must_use]
    pub fn shape(&self, i: usize) -> &Shape {
        &self.args.x[i].spec.shape
    }

    /// The shape of output i.
    #[must_use]
    pub fn out_shape(&self, i: usize) -> &Shape {
        &self.args.y[i].spec.shape
    }

    /// The first N inputs.
    #[must_use]
    pub fn inputs<const N: usize>(&self) -> [&'a [R]; N] {
        std::array::from_fn(|i| self.x(i))
    }

    /// Output i, for writing; it can be taken once.
    ///
    /// # Panics
    /// If it is taken twice or does not hold numbers of type R.
    #[must_use]
    pub fn y(&mut self, i: usize) -> &'a mut [R] {
        self.y_in(i)
    }

    /// Output i, in a number type of its own: sums that are f64 whatever is summed.
    ///
    /// # Panics
    /// If it is taken twice or does not hold numbers of type S.
    #[must_use]
    pub fn y_in<S: Real>(&mut self, i: usize) -> &'a mut [S] {
        let y = &mut self.args.y[i];
        assert_eq!(y.spec.dtype, DType::of::<S>(), "output {i} is {}", y.spec);
        let Some(memory) = y.memory.take() else { panic!("output {i} was taken before") };
        &mut bytemuck::cast_slice_mut(memory)[..y.spec.numel()]
    }

    /// The first N outputs, for writing.
    #[must_use]
    pub fn outputs<const N: usize>(&mut self) -> [&'a mut [R]; N] {
        std::array::from_fn(|i| self.y(i))
    }

    /// The number of outputs.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.args.y.len()
    }
}
