//! The tape: what was computed, in order, so that it can be read backwards.
//!
//! Reverse-mode differentiation needs for every operation what it was given and what came of it. The tape is a plain
//! list of such nodes. [`Tensor::backward`] takes the list and walks it from the end: each node turns the gradients of
//! its outputs into gradients of its inputs, then drops what it had saved, so memory falls as the sweep passes. A
//! list, and not a graph of pointers among tensors: a recurrent network makes chains of many thousand nodes, and
//! walking or dropping such a chain recursively overflows the stack.
//!
//! What the nodes save is most of the memory of training. Inside [`Tape::checkpoint`] they save nothing but what came
//! in from outside (Chen, Xu, Zhang, Guestrin: *Training deep nets with sublinear memory cost*, 2016): when the sweep
//! reaches such a part, its ops are run once more, in order, and then read backwards like any others. Ops are pure, so
//! the second run has the same bits as the first.

use crate::accumulate::accumulate;
use crate::op::{Saved, Specs};
use crate::run::execute;
use crate::{Differentiable, Param, ParamId, Spec, Tensor, check};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A variable of a tape: the place of a tensor's gradient.
#[derive(Clone)]
pub(crate) struct Var {
    pub(crate) tape: Tape,
    pub(crate) id: usize,
}

/// The record of one forward pass.
#[derive(Clone, Default)]
pub struct Tape(Arc<Mutex<Record>>);

#[derive(Default)]
struct Record {
    nodes: Vec<Node>,
    /// Variables handed out so far.
    vars: usize,
    params: BTreeMap<ParamId, usize>,
    spent: bool,
    /// The first node of the part that is being recorded without what it saves.
    part: Option<usize>,
}

/// What a node keeps for the backward pass.
enum Kept {
    /// What its op asked for.
    Saved(Saved),
    /// The inputs that the part of the tape from node `first` on did not make itself, for running it again.
    Inputs { first: usize, outside: SmallVec<[Option<Tensor>; 4]> },
}

struct Node {
    op: Box<dyn Differentiable>,
    /// The variable of each input (None: a constant), and its spec.
    inputs: SmallVec<[(Option<usize>, Spec); 4]>,
    /// The outputs are the variables `first_output..`.
    first_output: usize,
    outputs: Specs,
    kept: Kept,
}

impl PartialEq for Tape {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Tape {
    /// An empty tape.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same tensor, tracked: its gradient will be wanted.
    ///
    /// # Panics
    /// If it is tracked already, or holds ids.
    #[must_use]
    #[track_caller]
    pub fn leaf(&self, x: &Tensor) -> Tensor {
        check::float("leaf", &x.spec());
        assert!(!x.is_tracked(), "a tensor can be on one tape only; detach() it first");
        let id = self.lock().new_vars(1);
        x.clone().with_var(Var { tape: self.clone(), id })
    }

    /// The parameter's value, tracked; the same variable however often it is asked for, so that the gradients of all
    /// its uses add up (tied weights).
    #[must_use]
    pub fn param(&self, param: &Param) -> Tensor {
        let mut record = self.lock();
        let id = match record.params.get(&param.id()) {
            Some(&id) => id,
            None => {
                let id = record.new_vars(1);
                record.params.insert(param.id(), id);
                id
            }
        };
        drop(record);
        param.value().clone().with_var(Var { tape: self.clone(), id })
    }

    /// Appends a node and returns the variable of its first output.
    #[track_caller]
    pub(crate) fn record(&self, op: impl Differentiable, x: &[&Tensor], y: &[Tensor]) -> usize {
        debug_assert!(y.iter().all(|t| !t.is_tracked()));
        let inputs = x.iter().map(|t| (t.var().map(|v| v.id), t.spec())).collect();
        let outputs: Specs = y.iter().map(Tensor::spec).collect();
        let mut record = self.lock();
        assert!(
            !record.spent,
            "this tape was run backwards already: a Ctx is for one forward pass"
        );
        let kept = match record.part {
            None => Kept::Saved(saved(&op, x, y)),
            Some(first) => {
                let outside = |t: &&Tensor| (!record.made_since(first, t)).then(|| t.detach());
                Kept::Inputs { first, outside: x.iter().map(outside).collect() }
            }
        };
        let first_output = record.new_vars(y.len());
        record.nodes.push(Node { op: Box::new(op), inputs, first_output, outputs, kept });
        first_output
    }

    /// Records what `part` does without what its ops save, which the backward pass computes again. A part inside a
    /// part is a piece of the outer one.
    pub fn checkpoint<T>(&self, part: impl FnOnce() -> T) -> T {
        let outer = {
            let mut record = self.lock();
            let outer = record.part;
            record.part = outer.or(Some(record.nodes.len()));
            outer
        };
        let out = part();
        self.lock().part = outer;
        out
    }

    /// Reads the tape backwards from `outputs`, each with its cotangent, and returns the gradients of the leaves.
    ///
    /// # Panics
    /// If a second backward is asked of one tape, if an output is not on it, or if a cotangent has another shape.
    #[must_use]
    #[track_caller]
    pub fn backward(&self, outputs: &[(&Tensor, Tensor)]) -> Grads {
        let (mut nodes, vars, params) = {
            let mut record = self.lock();
            assert!(
                !std::mem::replace(&mut record.spent, true),
                "backward was called twice on one tape; its nodes are used up by the first"
            );
            (std::mem::take(&mut record.nodes), record.vars, std::mem::take(&mut record.params))
        };
        let mut grads = Grads { by_var: vec![None; vars], params: BTreeMap::new() };
        for (y, cotangent) in outputs {
            let var = y.var().filter(|v| v.tape == *self);
            let Some(var) = var else { panic!("backward from a tensor that is not on this tape") };
            assert_eq!(
                y.spec(),
                cotangent.spec(),
                "the cotangent of a tensor has its shape and type"
            );
            add(&mut grads.by_var[var.id], cotangent.clone());
        }
        while let Some(node) = nodes.last() {
            if let Kept::Inputs { first, .. } = node.kept {
                recompute(&mut nodes[first..]);
            }
            if let Some(node) = nodes.pop() {
                node.backward(&mut grads.by_var);
            }
        }
        for (id, var) in params {
            if let Some(g) = grads.by_var[var].take() {
                grads.params.insert(id, g);
            }
        }
        grads
    }

    /// The computation as text, one node a line: outputs, op, inputs.
    #[must_use]
    pub fn dump(&self) -> String {
        let mut out = String::new();
        for node in &self.lock().nodes {
            let outputs = (node.first_output..).zip(&node.outputs);
            let outputs: Vec<_> = outputs.map(|(id, s)| format!("%{id}: {s}")).collect();
            let inputs = node.inputs.iter().map(|(id, s)| match id {
                Some(id) => format!("%{id}"),
                None => format!("const {s}"),
            });
            let inputs: Vec<_> = inputs.collect();
            let _ = writeln!(out, "{} = {:?} ({})", outputs.join(", "), node.op, inputs.join(", "));
        }
        out
    }

    /// The number of nodes recorded so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().nodes.len()
    }

    /// Whether nothing is recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn new_vars(&mut self, n: usize) -> usize {
        self.vars += n;
        self.vars - n
    }

    /// Whether a tensor is an output of node `first` or a later one.
    fn made_since(&self, first: usize, x: &Tensor) -> bool {
        let Some(id) = x.var().map(|v| v.id) else { return false };
        let part = &self.nodes[first..];
        // Outputs are numbered in the order of the nodes.
        let i = part.partition_point(|node| node.first_output <= id);
        i > 0 && id < part[i - 1].first_output + part[i - 1].outputs.len()
    }
}

/// What an op keeps, off the tape.
fn saved(op: &dyn Differentiable, x: &[&Tensor], y: &[Tensor]) -> Saved {
    op.save(x, y).iter().map(Tensor::detach).collect()
}

/// Runs a part of the tape once more and keeps what its ops save.
fn recompute(part: &mut [Node]) {
    let mut made: BTreeMap<usize, Tensor> = BTreeMap::new();
    for node in part {
        let Kept::Inputs { outside, .. } = &node.kept else {
            unreachable!("a part is recorded without a gap, and run again once")
        };
        let input =
            |((id, _), outside): (&(Option<usize>, Spec), &Option<Tensor>)| match (outside, id) {
                (Some(tensor), _) => tensor.clone(),
                (None, Some(id)) => made[id].clone(),
                (None, None) => unreachable!("a constant comes from outside"),
            };
        let x: SmallVec<[Tensor; 8]> = node.inputs.iter().zip(outside).map(input).collect();
        let x: SmallVec<[&Tensor; 8]> = x.iter().collect();
        let y = execute(&*node.op, &x);
        node.kept = Kept::Saved(saved(&*node.op, &x, &y));
        made.extend((node.first_output..).zip(y));
    }
}

impl Node {
    /// Turns the gradients of the outputs into gradients of the inputs, and drops what was saved.
    fn backward(self, by_var: &mut [Option<Tensor>]) {
        let outputs = self.first_output..self.first_output + self.outputs.len();
        let gy: SmallVec<[Option<Tensor>; 4]> = outputs.map(|i| by_var[i].take()).collect();
        if gy.iter().all(Option::is_none) {
            return;
        }
        let Kept::Saved(saved) = &self.kept else { unreachable!("run again before it is read") };
        let mut wanted = |(i, (id, _)): (usize, &(Option<usize>, Spec))| {
            let sum = id.map(|id| by_var[id].as_mut());
            sum.is_some_and(|sum| sum.is_none_or(|sum| !self.op.add_vjp(i, sum, saved, &gy)))
        };
        let needs: SmallVec<[bool; 8]> = self.inputs.iter().enumerate().map(&mut wanted).collect();
        if !needs.contains(&true) {
            return;
        }
        let gx = self.op.vjp(saved, &gy, &needs);
        assert_eq!(gx.len(), self.inputs.len(), "{}: one gradient an input", self.op.name());
        for (((id, spec), g), needed) in self.inputs.iter().zip(gx).zip(needs) {
            let (Some(id), Some(g), true) = (id, g, needed) else { continue };
            assert_eq!(g.spec(), *spec, "{}: a gradient has the spec of its input", self.op.name());
            add(&mut by_var[*id], g);
        }
    }
}

/// Gradients add up where a tensor is used more than once.
fn add(sum: &mut Option<Tensor>, g: Tensor) {
    match sum {
        Some(sum) => accumulate(sum, &g),
        None => *sum = Some(g),
    }
}

/// The gradients that a backward pass found.
///
/// They are returned and never stored in a parameter: there is nothing to zero, and accumulation over micro-batches
/// is [`Grads::accumulate`].
pub struct Grads {
    by_var: Vec<Option<Tensor>>,
    params: BTreeMap<ParamId, Tensor>,
}

impl Grads {
    /// The gradient of a tensor that was made a leaf with [`Tape::leaf`].
    #[must_use]
    pub fn of(&self, x: &Tensor) -> Option<&Tensor> {
        x.var().and_then(|v| self.by_var.get(v.id)?.as_ref())
    }

    /// The gradient of a parameter; None if the loss does not depend on it.
    #[must_use]
    pub fn param(&self, param: &Param) -> Option<&Tensor> {
        self.params.get(&param.id())
    }

    /// Adds the parameter gradients of another backward pass (the next micro-batch of a window).
    pub fn accumulate(&mut self, other: Self) {
        for (id, g) in other.params {
            match self.params.entry(id) {
                Entry::Occupied(mut sum) => accumulate(sum.get_mut(), &g),
                Entry::Vacant(slot) => {
                    slot.insert(g);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ctx, DType, Device};

    fn leaf(tape: &Tape, data: &[f64]) -> Tensor {
        tape.leaf(&Tensor::from_f64(&Device::cpu(), [data.len()], data))
    }

    #[test]
    fn test_tape__repeated_input_adds_up() {
        let tape = Tape::new();
        let x = leaf(&tape, &[3.0]);
        let y = x.reshape([]);
        let one = Tensor::full(&Device::cpu(), y.spec(), 1.0);
        let grads = tape.backward(&[(&y, one.clone()), (&y, one)]);
        assert_eq!(grads.of(&x).map(Tensor::to_vec_f64), Some(vec![2.0]));
    }

    #[test]
    #[should_panic(expected = "backward was called twice")]
    fn test_tape__second_backward_panics() {
        let tape = Tape::new();
        let y = leaf(&tape, &[3.0]).reshape([]);
        let _ = y.backward();
        let _ = y.backward();
    }

    #[test]
    fn test_tape__a_million_nodes() {
        let tape = Tape::new();
        let x = leaf(&tape, &[3.0]);
        let mut y = x.clone();
        for _ in 0..500_000 {
            y = y.reshape([]).reshape([1]);
        }
        assert_eq!(tape.len(), 1_000_000);
        let one = Tensor::full(&Device::cpu(), y.spec(), 1.0);
        assert_eq!(tape.backward(&[(&y, one)]).of(&x).map(Tensor::to_vec_f64), Some(vec![1.0]));
    }

    #[test]
    fn test_tape__a_parameter_is_one_variable() {
        let w = Param::new(Tensor::full(&Device::cpu(), Spec::new([2], DType::F64), 1.0));
        let cx = Ctx::grad();
        let (a, b) = (cx.param(&w), cx.param(&w));
        assert_eq!(a.var().map(|v| v.id), b.var().map(|v| v.id));
    }

    /// Gradients of x and w of a small computation with a constant, a parameter used twice and two outputs.
    fn of_a_part(recompute: bool) -> (Vec<Vec<f64>>, usize) {
        let device = Device::Cpu(crate::CpuDevice::default());
        let tensor = |shape: [usize; 2], scale: f64| {
            let n = shape[0] * shape[1];
            let data: Vec<f64> = (0..n).map(|i| scale * ((i * 7 % 11) as f64 - 4.5)).collect();
            Tensor::from_f64(&device, shape, &data)
        };
        let w = Param::new(tensor([32, 32], 0.02));
        let constant = tensor([32, 32], 0.1);
        let grads = {
            let cx = Ctx::train(1, 1, 0).recompute(recompute);
            let x = cx.tape().expect("recorded").leaf(&tensor([32, 32], 0.3));
            let mut y = x.clone();
            for _ in 0..8 {
                y = cx.checkpoint(|| {
                    let h = cx.dropout(0.2, &y.matmul(&cx.param(&w)).tanh());
                    // A part inside a part, and a shape that is only seen otherwise.
                    let h = cx.checkpoint(|| (&h * &constant).reshape([1024]).sigmoid());
                    &h.reshape([32, 32]).matmul(&cx.param(&w)) + &y
                });
            }
            let grads = (&y * &y).sum().backward();
            let of = |g: Option<&Tensor>| g.map(Tensor::to_vec_f64).unwrap_or_default();
            vec![of(grads.of(&x)), of(grads.param(&w))]
        };
        drop((w, constant));
        let Device::Cpu(cpu) = &device else { unreachable!("made above") };
        (grads, cpu.idle_bytes())
    }

    #[test]
    fn test_checkpoint__the_same_bits_from_less_memory() {
        let (kept, all) = of_a_part(false);
        let (recomputed, less) = of_a_part(true);
        let bits = |grads: &[Vec<f64>]| -> Vec<u64> {
            grads.iter().flatten().map(|x| x.to_bits()).collect()
        };
        assert_eq!(kept[0].len() + kept[1].len(), 2048);
        assert_eq!(bits(&kept), bits(&recomputed));
        assert!(3 * less < 2 * all, "{less} bytes, {all} without");
    }

    #[test]
    fn test_tape__a_table_that_is_read_and_multiplied_has_both_gradients() {
        let data: Vec<f64> = (0..12).map(|i| f64::from(i * i % 7) - 2.5).collect();
        let gradients = |tied: bool| {
            let tape = Tape::new();
            let tensor = Tensor::from_f64(&Device::cpu(), [4, 3], &data);
            let table = tape.leaf(&tensor);
            let output = if tied { table.clone() } else { tape.leaf(&tensor) };
            let ids = Tensor::from_u32(&Device::cpu(), [3], &[2, 0, 2]);
            let y = table.embedding(&ids).matmul_transposed(&output);
            let grads = (&y * &y).sum().backward();
            [&table, &output].map(|x| grads.of(x).map(Tensor::to_vec_f64).unwrap_or_default())
        };
        let [both, _] = gradients(true);
        let [read, multiplied] = gradients(false);
        let sum: Vec<f64> = read.iter().zip(&multiplied).map(|(a, b)| a + b).collect();
        assert_eq!((both.len(), &both), (12, &sum));
        assert_ne!(both, read);
    }

    #[test]
    fn test_dump__prints_the_computation() {
        let tape = Tape::new();
        let _y = leaf(&tape, &[1.0, 2.0]).reshape([2, 1]);
        assert_eq!(tape.dump(), "%1: f64[2, 1] = Reshape { from: [2], to: [2, 1] } (%0)\n");
    }
}
