//! Functions over slices, as vector code: [`exp`], [`tanh`], [`sigmoid`], [`erf`], and the way to write more.
//!
//! They run on the calling thread; `elementwise` splits large tensors and calls them on the pieces. A kernel with a
//! loop of its own puts it into a [`Body`], which [`dispatch`] compiles once for every instruction-set level:
//!
//! ```
//! use foundry_kernels::{Real, cpu::vector::{self, Body, Math}};
//!
//! /// y = y * tanh(x)
//! struct Gate<'a, R> { x: &'a [R], y: &'a mut [R] }
//!
//! impl<R: Real> Body for Gate<'_, R> {
//!     type Output = ();
//!     #[inline(always)]
//!     fn run<M: Math>(self) {
//!         for (y, x) in self.y.iter_mut().zip(self.x) {
//!             *y *= M::tanh(*x);
//!         }
//!     }
//! }
//!
//! let mut y = [2.0f32; 3];
//! vector::dispatch(Gate { x: &[0.0, 1.0, -1.0], y: &mut y });
//! assert_eq!(y[0], 0.0);
//! assert_eq!(y[1], -y[2]);
//! ```

pub mod math;

pub use math::Math;

use super::isa::Isa;
use crate::Real;

/// A loop to be compiled for every instruction-set level.
pub trait Body {
    /// What the loop gives back.
    type Output;
    /// The loop. Mark it `#[inline(always)]`: only then is it compiled with the instructions of the level.
    fn run<M: Math>(self) -> Self::Output;
}

/// Runs `body` at the level in use.
#[inline]
pub fn dispatch<B: Body>(body: B) -> B::Output {
    dispatch_at(Isa::current(), body)
}

/// Runs `body` at the given level, or at the best of this machine if that is lower.
#[inline]
pub fn dispatch_at<B: Body>(isa: Isa, body: B) -> B::Output {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::philox::{Lanes, philox_lanes_avx2, philox_lanes_avx512};

        /// The functions of a level; nobody can name it who does not run at the level.
        macro_rules! level {
            ($name:ident, $philox:ident) => {
                #[derive(Clone, Copy)]
                struct $name;

                impl Math for $name {
                    #[inline(always)]
                    fn fma(a: f32, b: f32, c: f32) -> f32 {
                        a.mul_add(b, c)
                    }

                    #[inline(always)]
                    fn philox(key: [u32; 2], first: u32, c: [u32; 3]) -> Lanes {
                        // SAFETY: only the function below with the instructions of this level names the type.
                        unsafe { $philox(key, first, c) }
                    }
                }
            };
        }
        level!(Avx2, philox_lanes_avx2);
        level!(Avx512, philox_lanes_avx512);

        #[target_feature(enable = "avx2,fma")]
        fn avx2<B: Body>(body: B) -> B::Output {
            body.run::<Avx2>()
        }
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn avx512<B: Body>(body: B) -> B::Output {
            body.run::<Avx512>()
        }
        match isa.min(Isa::best()) {
            // SAFETY: the level is at most the best that was detected, so the processor has AVX-512F, AVX2 and FMA.
            Isa::Avx512 => return unsafe { avx512(body) },
            // SAFETY: as above, the processor has AVX2 and FMA.
            Isa::Avx2 => return unsafe { avx2(body) },
            Isa::Portable => {}
        }
    }
    let _ = isa;
    body.run::<math::Separate>()
}

/// A function of one number.
pub trait Unary: Copy + Send + Sync {
    /// Its value. Mark it `#[inline(always)]`.
    fn at<M: Math, R: Real>(self, x: R) -> R;
}

struct Map<'a, R, U> {
    function: U,
    x: &'a [R],
    y: &'a mut [R],
}

impl<R: Real, U: Unary> Body for Map<'_, R, U> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        for (y, x) in self.y.iter_mut().zip(self.x) {
            *y = self.function.at::<M, R>(*x);
        }
    }
}

struct MapInPlace<'a, R, U> {
    function: U,
    y: &'a mut [R],
}

impl<R: Real, U: Unary> Body for MapInPlace<'_, R, U> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        for y in self.y {
            *y = self.function.at::<M, R>(*y);
        }
    }
}

/// `y[i] = function(x[i])`.
///
/// # Panics
/// The lengths differ.
pub fn map<R: Real>(function: impl Unary, x: &[R], y: &mut [R]) {
    map_at(Isa::current(), function, x, y);
}

/// `y[i] = function(y[i])`.
pub fn map_in_place<R: Real>(function: impl Unary, y: &mut [R]) {
    dispatch(MapInPlace { function, y });
}

pub(crate) fn map_at<R: Real>(isa: Isa, function: impl Unary, x: &[R], y: &mut [R]) {
    assert_eq!(x.len(), y.len(), "vector: input and output differ in length");
    dispatch_at(isa, Map { function, x, y });
}

/// e to the power of x.
#[derive(Clone, Copy, Debug)]
pub struct Exp;
/// The hyperbolic tangent.
#[derive(Clone, Copy, Debug)]
pub struct Tanh;
/// 1 / (1 + exp(-x)).
#[derive(Clone, Copy, Debug)]
pub struct Sigmoid;
/// The error function.
#[derive(Clone, Copy, Debug)]
pub struct Erf;

impl Unary for Exp {
    #[inline(always)]
    fn at<M: Math, R: Real>(self, x: R) -> R {
        M::exp(x)
    }
}

impl Unary for Tanh {
    #[inline(always)]
    fn at<M: Math, R: Real>(self, x: R) -> R {
        M::tanh(x)
    }
}

impl Unary for Sigmoid {
    #[inline(always)]
    fn at<M: Math, R: Real>(self, x: R) -> R {
        M::sigmoid(x)
    }
}

impl Unary for Erf {
    #[inline(always)]
    fn at<M: Math, R: Real>(self, x: R) -> R {
        M::erf(x)
    }
}

/// `y = exp(x)`. Panics if the lengths differ, like the other three.
pub fn exp<R: Real>(x: &[R], y: &mut [R]) {
    map(Exp, x, y);
}

/// `y = tanh(x)`.
pub fn tanh<R: Real>(x: &[R], y: &mut [R]) {
    map(Tanh, x, y);
}

/// `y = 1 / (1 + exp(-x))`.
pub fn sigmoid<R: Real>(x: &[R], y: &mut [R]) {
    map(Sigmoid, x, y);
}

/// `y = erf(x)`.
pub fn erf<R: Real>(x: &[R], y: &mut [R]) {
    map(Erf, x, y);
}

#[cfg(test)]
mod tests;
