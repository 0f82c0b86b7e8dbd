//! Running ops: the one place that looks at the device.

use crate::buffer::Buffer;
use crate::tape::Var;
use crate::{CpuArgs, CudaArgs, Device, Differentiable, Op, Spec, Tensor, check, profile};
use smallvec::SmallVec;

type Outputs = SmallVec<[Tensor; 4]>;

/// Runs an op, and records it if an input is tracked; OUT is its number of outputs.
///
/// # Panics
/// If the inputs do not fit the op (its shape rule says how), or if the op has not OUT outputs.
#[track_caller]
pub fn apply<const OUT: usize>(op: impl Differentiable, x: &[&Tensor]) -> [Tensor; OUT] {
    let name = op.name();
    exactly(name, record(op, x, execute))
}

/// As [`apply`], for an op whose number of outputs is known only when it runs.
///
/// # Panics
/// As [`apply`].
#[track_caller]
pub fn apply_n(op: impl Differentiable, x: &[&Tensor]) -> Vec<Tensor> {
    record(op, x, execute).into_vec()
}

/// Runs an op without recording it.
///
/// # Panics
/// If an input is tracked (its gradient would be lost without a word), and as [`apply`].
#[track_caller]
pub fn run<const OUT: usize>(op: impl Op, x: &[&Tensor]) -> [Tensor; OUT] {
    untracked(&op, x);
    exactly(op.name(), execute(&op, x))
}

/// Runs an op on tensors that it updates in place: its outputs, which hold their old values when it begins.
///
/// Memory that another tensor shares is copied first, so no one else sees the change.
///
/// # Panics
/// If the tensors are not what the op's shape rule says, or if one is tracked.
#[track_caller]
pub fn run_in_place<const OUT: usize>(op: &impl Op, y: [&mut Tensor; OUT], x: &[&Tensor]) {
    untracked(op, x);
    let specs: SmallVec<[Spec; 8]> = x.iter().map(|t| t.spec()).collect();
    let expected = op.output(&specs);
    for (i, (given, expected)) in y.iter().zip(&expected).enumerate() {
        if given.spec() != *expected || given.is_tracked() {
            check::fail(
                op.name(),
                format!("target {i}: {given:?}"),
                &format!("an untracked {expected}"),
                "",
            );
        }
    }
    assert_eq!(expected.len(), OUT, "{}: {OUT} targets", op.name());
    let device = check::same_device(op.name(), x);
    launch(op, &device, x, y.into_iter());
}

/// Puts an op that has already produced its outputs on the tape: for ops that need no kernel (reshape).
#[track_caller]
pub(crate) fn record(
    op: impl Differentiable,
    x: &[&Tensor],
    forward: impl FnOnce(&dyn Op, &[&Tensor]) -> Outputs,
) -> Outputs {
    let y = forward(&op, x);
    let Some(tape) = x.iter().find_map(|t| t.var()).map(|v| v.tape.clone()) else { return y };
    for t in x {
        if t.var().is_some_and(|v| v.tape != tape) {
            check::fail(
                op.name(),
                "inputs from two tapes",
                "one tape",
                "a Ctx is for one forward pass",
            );
        }
    }
    let first = tape.record(op, x, &y);
    let tracked = |(i, t): (usize, Tensor)| t.with_var(Var { tape: tape.clone(), id: first + i });
    y.into_iter().enumerate().map(tracked).collect()
}

/// Allocates the outputs and runs the op.
#[track_caller]
pub(crate) fn execute(op: &dyn Op, x: &[&Tensor]) -> Outputs {
    let specs: SmallVec<[Spec; 8]> = x.iter().map(|t| t.spec()).collect();
    let device = check::same_device(op.name(), x);
    let mut y: Outputs =
        op.output(&specs).into_iter().map(|s| Tensor::uninitialised(&device, s)).collect();
    launch(op, &device, x, y.iter_mut());
    y
}

/// The only `match` on the device in the path of an op.
fn launch<'a>(
    op: &dyn Op,
    device: &Device,
    x: &[&'a Tensor],
    y: impl Iterator<Item = &'a mut Tensor>,
) {
    match device {
        Device::Cpu(_) => {
            let mut args = CpuArgs::new();
            for t in x {
                let Buffer::Cpu(b) = t.buffer() else { unreachable!("inputs share a device") };
                args.push_input(t.spec(), b.blocks(), t.offset());
            }
            for t in y {
                let spec = t.spec();
                let Buffer::Cpu(b) = t.buffer_mut() else { unreachable!("made on the device") };
                args.push_output(spec, b.blocks_mut());
            }
            profile::measured(op.name(), || op.cpu(args));
        }
        Device::Cuda(cuda) => {
            let mut args = CudaArgs::new(op.name(), cuda);
            for t in x {
                let Buffer::Cuda(b) = t.buffer() else { unreachable!("inputs share a device") };
                args.push_input(t.spec(), b.at(t.offset() * t.dtype().bytes()));
            }
            for t in y {
                let spec = t.spec();
                let Buffer::Cuda(b) = t.buffer_mut() else { unreachable!("made on the device") };
                args.push_output(spec, b.at(0));
            }
            profile::measured(op.name(), || {
                cuda.attempt(|_| op.cuda(&mut args));
                if profile::is_on() {
                    cuda.synchronize();
                }
            });
        }
    }
}

#[track_caller]
fn untracked(op: &impl Op, x: &[&Tensor]) {
    if x.iter().any(|t| t.is_tracked()) {
        check::fail(
            op.name(),
            "a tracked tensor",
            "tensors that are on no tape",
            "this op has no gradient here; detach() its input if none is wanted",
        );
    }
}

#[track_caller]
fn exactly<const OUT: usize>(op: &str, y: Outputs) -> [Tensor; OUT] {
    let n = y.len();
    match y.into_vec().try_into() {
        Ok(y) => y,
        Err(_) => panic!("{op} has {n} outputs, its caller took {OUT}"),
    }
}
