//! Rows written into a tensor that has room for more: how a cache of keys and values grows.
//!
//! `x [B, T, D]` into `cache [B, C, D]`: cache[b, at + t, :] = x[b, t, :], all else stays. In place, without a gradient.
//!
//! ```
//! use foundry_engine::{DType, Device, Spec, Tensor, ops::cache::write_rows};
//! let mut cache = Tensor::zeros(&Device::cpu(), Spec::new([1, 3, 1], DType::F32));
//! write_rows(&mut cache, &Tensor::from_f32(&Device::cpu(), [1, 2, 1], &[1.0, 2.0]), 1);
//! assert_eq!(cache.to_vec::<f32>(), [0.0, 1.0, 2.0]);
//! ```

use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Op, Real, Spec, Specs, Tensor, check, list,
    run_in_place,
};
use foundry_kernels::cuda::elementwise::copy;

#[derive(Debug)]
struct WriteRows {
    room: usize,
    at: usize,
}

/// Writes `x [B, T, D]` to the rows `at ..` of `cache [B, C, D]`. A cache that another tensor shares is copied first.
///
/// # Panics
/// If the shapes do not fit, there is no room, or a tensor is tracked.
#[track_caller]
pub fn write_rows(cache: &mut Tensor, x: &Tensor, at: usize) {
    let [_, room, _] = cache.dims();
    run_in_place(&WriteRows { room, at }, [cache], &[x]);
}

impl Op for WriteRows {
    fn name(&self) -> &'static str {
        "write_rows"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        let [x] = x else { panic!("write_rows takes one tensor") };
        check::float(self.name(), x);
        let &[batch, time, width] = x.shape.as_slice() else {
            check::fail(self.name(), x, "[batch, time, width]", "")
        };
        if self.at + time > self.room {
            let expected = format!("at most {} rows", self.room.saturating_sub(self.at));
            check::fail(self.name(), x, &expected, "");
        }
        list![x.with_shape([batch, self.room, width])]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let [batch, time, width] = a.sizes(a.shape(0).dims())?;
        let [room, at] = a.sizes([self.room, self.at])?;
        let (x, cache) = (a.x(0)?, a.y(0)?.element(at * width));
        a.launch([copy((x, time * width), (cache, room * width), [batch, time * width])])
    }
}

impl CpuKernel for WriteRows {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let [_, time, width] = a.shape(0).dims();
        let (x, y) = (a.x(0), a.y(0));
        if x.is_empty() {
            return;
        }
        let samples = y.chunks_exact_mut(self.room * width).zip(x.chunks_exact(time * width));
        for (cache, rows) in samples {
            cache[self.at * width..][..rows.len()].copy_from_slice(rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn test_write_rows__a_shared_cache_is_copied() {
        let cpu = Device::cpu();
        let mut cache = Tensor::from_f64(&cpu, [2, 2, 1], &[1.0, 2.0, 3.0, 4.0]);
        let before = cache.clone();
        write_rows(&mut cache, &Tensor::from_f64(&cpu, [2, 1, 1], &[8.0, 9.0]), 1);
        assert_eq!(cache.to_vec::<f64>(), [1.0, 8.0, 3.0, 9.0]);
        assert_eq!(before.to_vec::<f64>(), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    #[should_panic(expected = "at most 1 rows")]
    fn test_write_rows__needs_room() {
        let cpu = Device::cpu();
        let mut cache = Tensor::from_f64(&cpu, [1, 2, 1], &[1.0, 2.0]);
        write_rows(&mut cache, &Tensor::from_f64(&cpu, [1, 2, 1], &[8.0, 9.0]), 1);
    }
}
