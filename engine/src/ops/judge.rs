//! Whether an update may happen, and by what its gradients are scaled: decided where the gradients are.
//!
//! From the sums of squares of gradients g_k and of whatever else must be finite:
//!
//! ```text
//! norm   = sqrt(sum_k |g_k|^2) / scale             (scale: what the loss was multiplied by)
//! factor = min(1, max_norm / (norm + 1e-6))        (torch.nn.utils.clip_grad_norm_)
//! skip   = something is not finite, or the square of norm factor, of which Adam keeps means, is not in f32
//! ```
//!
//! The optimiser reads factor / scale and skip from the device, so nothing waits for them; the host reads what came of it when the
//! step is over.

use super::norm::sums_of_squares;
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DType, Device, DeviceError, Op, Real, Spec, Specs, Tensor,
    list, run,
};
use foundry_kernels::cuda::judge::judge as on_cuda;

/// The largest norm whose square, of which Adam keeps means, is finite in f32.
const LARGEST_NORM: f64 = 1.8e19;

/// What was decided.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// factor and skip (0 or 1), `[2]`, of the type of the gradients.
    control: Tensor,
    /// norm and skip, `[2]`, of f64.
    report: Tensor,
}

/// What the host learns of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Verdict {
    /// The norm of all gradients together, before they are scaled.
    pub norm: f64,
    /// Whether the update does not happen.
    pub skip: bool,
}

#[derive(Debug)]
struct Judge {
    /// Of the sums, those of gradients come first.
    gradients: usize,
    max_norm: f64,
    loss_scale: f64,
    dtype: DType,
}

impl Judgement {
    /// Looks at the gradients of an update, of a loss that was multiplied by `loss_scale` (a power of two), and at whatever
    /// else must be finite: parameters, losses.
    ///
    /// # Panics
    /// If a tensor is tracked or holds ids, or they are of several types or devices.
    #[must_use]
    #[track_caller]
    pub fn of(
        gradients: &[&Tensor],
        others: &[&Tensor],
        max_norm: Option<f64>,
        loss_scale: f64,
    ) -> Self {
        let dtype = gradients.first().map_or(DType::F32, |g| g.dtype());
        let squares = sums_of_squares(&[gradients, others].concat());
        let max_norm = max_norm.unwrap_or(f64::INFINITY);
        let op = Judge { gradients: gradients.len(), max_norm, loss_scale, dtype };
        let [control, report] = run(op, &[&squares]);
        Self { control, report }
    }

    /// An update that happens, with gradients times `factor`.
    #[must_use]
    pub fn fixed(device: &Device, dtype: DType, factor: f64) -> Self {
        let pair = |x: [f64; 2]| Tensor::from_f64(device, [2], &x);
        Self { control: pair([factor, 0.0]).to_dtype(dtype), report: pair([f64::NAN, 0.0]) }
    }

    /// Waits for the device.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let report = self.report.to_vec_f64();
        Verdict { norm: report[0], skip: report[1] != 0.0 }
    }

    /// What the optimiser reads.
    pub(super) fn control(&self) -> &Tensor {
        &self.control
    }
}

impl Op for Judge {
    fn name(&self) -> &'static str {
        "judge"
    }

    fn output(&self, _: &[Spec]) -> Specs {
        list![Spec::new([2], self.dtype), Spec::new([2], DType::F64)]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        match self.dtype {
            DType::F64 => self.run::<f64>(args.typed()),
            DType::F32 | DType::U32 => self.run::<f32>(args.typed()),
        }
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let sizes = a.sizes([self.gradients, a.shape(0).numel()])?;
        let factors = [self.max_norm, self.loss_scale.recip()];
        a.launch([on_cuda(a.x_wide(0)?, [a.y(0)?, a.y_wide(1)?], sizes, factors)])
    }
}

impl CpuKernel for Judge {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let squares = a.x_in::<f64>(0);
        let norm = squares[..self.gradients].iter().sum::<f64>().sqrt() / self.loss_scale;
        let factor = (self.max_norm / (norm + 1e-6)).min(1.0);
        let fits = norm * factor <= LARGEST_NORM && squares.iter().all(|s| s.is_finite());
        let skip = if fits { 0.0 } else { 1.0 };
        a.y(0).copy_from_slice(&[R::from_f64(factor / self.loss_scale), R::from_f64(skip)]);
        a.y_in::<f64>(1).copy_from_slice(&[norm, skip]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(gradient: &[f64], other: f64, max_norm: Option<f64>) -> (Vec<f64>, Verdict) {
        let of = |x: &[f64]| Tensor::from_f64(&Device::cpu(), [x.len()], x);
        let judgement = Judgement::of(&[&of(gradient)], &[&of(&[other])], max_norm, 1.0);
        (judgement.control().to_vec_f64(), judgement.verdict())
    }

    #[test]
    fn test_judge__clips_as_torch() {
        assert_eq!(judged(&[3.0, 4.0], 9.0, None).0, [1.0, 0.0]);
        assert_eq!(judged(&[3.0, 4.0], 9.0, Some(10.0)).0, [1.0, 0.0]);
        let (control, verdict) = judged(&[3.0, 4.0], 9.0, Some(1.0));
        assert_eq!(control, [1.0 / (5.0 + 1e-6), 0.0]);
        assert_eq!(verdict, Verdict { norm: 5.0, skip: false });
    }

    #[test]
    fn test_judge__takes_the_scale_of_the_loss_back() {
        let of = |x: &[f64]| Tensor::from_f64(&Device::cpu(), [x.len()], x);
        let judgement = Judgement::of(&[&of(&[12.0, 16.0])], &[], Some(1.0), 4.0);
        assert_eq!(judgement.verdict(), Verdict { norm: 5.0, skip: false });
        assert_eq!(judgement.control().to_vec_f64(), [0.25 * (1.0 / (5.0 + 1e-6)), 0.0]);
    }

    #[test]
    fn test_judge__skips_what_is_not_finite() {
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(judged(&[bad], 1.0, Some(1.0)).1.skip);
            assert!(judged(&[1.0], bad, Some(1.0)).1.skip);
        }
        assert!(judged(&[2e19], 1.0, None).1.skip, "its square is not in f32");
        assert!(!judged(&[2e19], 1.0, Some(1.0)).1.skip);
    }
}
