use super::*;

/// The distance from `y` to the true value, in units of the last place that f32 has there.
fn ulps(y: f32, truth: f64) -> f64 {
    let size = (truth.abs() as f32).max(f32::MIN_POSITIVE);
    let unit = f64::from(f32::from_bits(size.to_bits() + 1) - size);
    let unit = if size >= f32::MAX { f64::from(2f32.powi(104)) } else { unit };
    (f64::from(y) - truth).abs() / unit
}

/// Every `stride`-th f32, in pieces; infinities and NaNs are left out.
fn all_f32(stride: usize, mut f: impl FnMut(&[f32])) {
    let mut piece = Vec::with_capacity(4096);
    for bits in (0..=u32::MAX).step_by(stride) {
        let x = f32::from_bits(bits);
        if x.is_finite() {
            piece.push(x);
        }
        if piece.len() == 4096 {
            f(&piece);
            piece.clear();
        }
    }
    f(&piece);
}

fn worst(isa: Isa, stride: usize, function: impl Unary, truth: impl Fn(f64) -> f64) -> (f64, f32) {
    let mut worst = (0.0, 0.0);
    let mut y = vec![0f32; 4096];
    all_f32(stride, |x| {
        map_at(isa, function, x, &mut y[..x.len()]);
        for (x, y) in x.iter().zip(&y) {
            let t = truth(f64::from(*x));
            if t > f64::from(f32::MAX) {
                assert!(*y >= f32::MAX, "{x}: {y} for {t}");
            } else {
                let e = ulps(*y, t);
                if e > worst.0 || e.is_nan() {
                    worst = (e, *x);
                }
            }
        }
    });
    worst
}

/// The stride is prime, so that all low bits occur; FOUNDRY_ULP_STRIDE=1 walks all of f32.
#[test]
fn test_vector__within_2_ulp_of_libm_in_f64() {
    let stride =
        std::env::var("FOUNDRY_ULP_STRIDE").ok().and_then(|s| s.parse().ok()).unwrap_or(10_007);
    let least = f64::from(math::EXP_LEAST);
    let exp = |x: f64| if x < least { 0.0 } else { libm::exp(x) };
    let sigmoid = |x: f64| if x < least { 0.0 } else { 1.0 / (1.0 + libm::exp(-x)) };
    for isa in Isa::available() {
        let found = [
            ("exp", worst(isa, stride, Exp, exp)),
            ("tanh", worst(isa, stride, Tanh, libm::tanh)),
            ("sigmoid", worst(isa, stride, Sigmoid, sigmoid)),
            ("erf", worst(isa, stride, Erf, libm::erf)),
        ];
        println!("{}: {found:?}", isa.name());
        for (name, (error, x)) in found {
            assert!(error <= 2.0, "{name} at {}: {error} ulp at {x:e}", isa.name());
        }
    }
}

#[test]
fn test_vector__special_values() {
    let x = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 3e38, -3e38, 1e-45];
    for isa in Isa::available() {
        let of = |f: &dyn Fn(&[f32], &mut [f32])| {
            let mut y = [7f32; 8];
            f(&x, &mut y);
            assert!(y[4].is_nan());
            y[4] = 0.0;
            y.map(f32::to_bits)
        };
        let bits = |y: [f32; 8]| y.map(f32::to_bits);
        let inf = f32::INFINITY;

        assert_eq!(
            of(&|x, y| map_at(isa, Exp, x, y)),
            bits([1.0, 1.0, inf, 0.0, 0.0, inf, 0.0, 1.0])
        );
        let odd = bits([0.0, -0.0, 1.0, -1.0, 0.0, 1.0, -1.0, 1e-45]);
        assert_eq!(of(&|x, y| map_at(isa, Tanh, x, y)), odd);
        assert_eq!(of(&|x, y| map_at(isa, Erf, x, y)), odd);
        let half = bits([0.5, 0.5, 1.0, 0.0, 0.0, 1.0, 0.0, 0.5]);
        assert_eq!(of(&|x, y| map_at(isa, Sigmoid, x, y)), half);
    }
}

#[test]
fn test_vector__f64_is_libm_at_every_level() {
    let x: Vec<f64> = (-40..40).map(|i| f64::from(i) * 0.37).collect();
    for isa in Isa::available() {
        let mut y = vec![0.0; x.len()];
        map_at(isa, Erf, &x, &mut y);
        assert!(x.iter().zip(&y).all(|(x, y)| libm::erf(*x).to_bits() == y.to_bits()));
        map_at(isa, Exp, &x, &mut y);
        assert!(x.iter().zip(&y).all(|(x, y)| libm::exp(*x).to_bits() == y.to_bits()));
    }
}
