//! What a model that reads left to right keeps of what it has read, so that nothing is read twice.
//!
//! A recurrent network keeps its state; a transformer the keys and values of every layer, in memory that is set aside at
//! the beginning. The rows of a memory are texts: [`Memory::pick`] makes several of one, to go on in different ways.

use foundry_engine::{Ctx, DType, Device, Spec, Tensor};

/// A model that can go on from what it has read.
pub trait LeftToRight {
    /// The memory of `rows` texts of which nothing has been read, with room for `room` tokens each.
    fn memory(&self, rows: usize, room: usize) -> Memory;

    /// `[B, T] -> [B, T, D]`: reads on, and gives what the output layer reads. Row b goes on text b.
    ///
    /// # Panics
    /// If the memory is of another model, has other rows, or has no room.
    fn read(&self, cx: &Ctx, ids: &Tensor, memory: &mut Memory) -> Tensor;
}

/// What was read so far.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Tokens read.
    pub read: usize,
    /// Of each layer: h (and c) `[B, H]`, or keys and values `[B, C, D]`.
    pub layers: Vec<Vec<Tensor>>,
}

impl Memory {
    /// Zeros: `parts` tensors of `shape` for each of `layers`.
    #[must_use]
    pub fn zeros(
        device: &Device,
        dtype: DType,
        shape: &[usize],
        (layers, parts): (usize, usize),
    ) -> Self {
        let zero = Tensor::zeros(device, Spec::new(foundry_engine::Shape::new(shape), dtype));
        Self { read: 0, layers: vec![vec![zero; parts]; layers] }
    }

    /// The memory of the texts `rows`, which may come more than once.
    #[must_use]
    pub fn pick(&self, rows: &[usize]) -> Self {
        let pick = |x: &Tensor| {
            let mut shape = x.shape().as_slice().to_vec();
            let table = x.reshape([shape[0], shape[1..].iter().product()]);
            #[expect(clippy::cast_possible_truncation, reason = "rows of a batch")]
            let ids: Vec<u32> = rows.iter().map(|&r| r as u32).collect();
            shape[0] = rows.len();
            let ids = Tensor::from_u32(&x.device(), [rows.len()], &ids);
            table.embedding(&ids).reshape(foundry_engine::Shape::new(&shape))
        };
        let layers = self.layers.iter().map(|parts| parts.iter().map(pick).collect()).collect();
        Self { read: self.read, layers }
    }
}
