//! Initial weights.

use crate::rng::{Purpose, Stream, key};
use crate::{DType, Device, Param, Real, Shape, Spec, Tensor};

/// Makes parameters. The random numbers of each depend on the seed and on the parameter's dotted name, not on the
/// order in which parameters are made: the same architecture and seed give the same bits.
#[derive(Clone, Debug)]
pub struct Init {
    device: Device,
    dtype: DType,
    seed: u64,
    path: String,
    outline: bool,
}

impl Init {
    /// For parameters of `dtype` on `device`.
    #[must_use]
    pub fn new(device: &Device, dtype: DType, seed: u64) -> Self {
        Self { device: device.clone(), dtype, seed, path: String::new(), outline: false }
    }

    /// For parameters that are only asked for their names and shapes: those of two and more axes hold no numbers, and
    /// reading them panics.
    #[must_use]
    pub fn outline(self) -> Self {
        Self { outline: true, ..self }
    }

    /// For the parameters of the part called `name`.
    #[must_use]
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { path: format!("{}{dot}{name}", self.path), ..self.clone() }
    }

    /// Numbers from N(0, std^2).
    #[must_use]
    pub fn normal(&self, name: &str, shape: impl Into<Shape>, std: f64) -> Param {
        self.random(name, shape.into(), |s| std * s.normal())
    }

    /// Numbers from U(-bound, bound).
    #[must_use]
    pub fn uniform(&self, name: &str, shape: impl Into<Shape>, bound: f64) -> Param {
        self.random(name, shape.into(), |s| bound * (2.0 * s.uniform() - 1.0))
    }

    /// All elements `value`.
    #[must_use]
    pub fn full(&self, shape: impl Into<Shape>, value: f64) -> Param {
        let shape = shape.into();
        if let Some(outlined) = self.outlined(shape) {
            return outlined;
        }
        Param::new(Tensor::full(&self.device, Spec::new(shape, self.dtype), value))
    }

    fn outlined(&self, shape: Shape) -> Option<Param> {
        let spec = Spec::new(shape, self.dtype);
        (self.outline && shape.rank() >= 2).then(|| Param::new(Tensor::outline(&self.device, spec)))
    }

    fn random(&self, name: &str, shape: Shape, mut draw: impl FnMut(&mut Stream) -> f64) -> Param {
        if let Some(outlined) = self.outlined(shape) {
            return outlined;
        }
        let name = self.at(name).path;
        // FNV-1a: where in the model the numbers go.
        let place = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut stream = Stream::new(key(self.seed, Purpose::Init, place, 0));
        let draw = || draw(&mut stream);
        Param::new(match self.dtype {
            DType::F32 => self.drawn::<f32>(shape, draw),
            _ => self.drawn::<f64>(shape, draw).to_dtype(self.dtype),
        })
    }

    /// Rounded one by one: a whole table in double precision would stay in the pool, where no step asks for its size.
    fn drawn<R: Real>(&self, shape: Shape, mut draw: impl FnMut() -> f64) -> Tensor {
        let values: Vec<R> = (0..shape.numel()).map(|_| R::from_f64(draw())).collect();
        Tensor::from_real(&self.device, shape, &values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_init__depends_on_the_name_and_not_on_the_order() {
        let init = Init::new(&Device::cpu(), DType::F32, 7);
        let bits = |p: Param| p.value().to_vec::<f32>();
        let first = bits(init.at("h").at(0).normal("w", [8], 0.02));
        let _ = init.normal("other", [100], 1.0);
        assert_eq!(first, bits(init.at("h.0").normal("w", [8], 0.02)));
        assert_ne!(first, bits(init.at("h.1").normal("w", [8], 0.02)));
    }

    #[test]
    fn test_outline__has_shapes_and_no_memory() {
        let device = Device::Cpu(crate::CpuDevice::default());
        let init = Init::new(&device, DType::F32, 7).outline();
        let huge = init.at("h").normal("w", [1 << 20, 1 << 20], 0.02);
        assert_eq!(huge.spec(), Spec::new([1 << 20, 1 << 20], DType::F32));
        assert_eq!(init.full([3], 2.0).value().to_vec::<f32>(), [2.0; 3], "vectors are real");
        drop(huge);
        let Device::Cpu(cpu) = &device else { unreachable!("made above") };
        assert!(cpu.idle_bytes() < 1000);
    }

    #[test]
    fn test_uniform__stays_inside() {
        let init = Init::new(&Device::cpu(), DType::F64, 7);
        let x = init.uniform("w", [10_000], 0.25).value().to_vec::<f64>();
        assert!(x.iter().all(|x| x.abs() < 0.25));
        assert!(x.iter().any(|x| *x > 0.24) && x.iter().any(|x| *x < -0.24));
    }
}
