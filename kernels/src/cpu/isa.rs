//! The instruction set that the kernels use, chosen once at run time.
//!
//! One binary serves every processor: the hot loops are compiled for several instruction sets and the best one that
//! the machine has is taken. `FOUNDRY_ISA=portable|avx2|avx512` asks for a lower one, so that the paths can be
//! compared on one machine. Results have the same bits on every machine that runs the same level.

use std::sync::OnceLock;

/// The variable that asks for a level.
pub const VARIABLE: &str = "FOUNDRY_ISA";

/// A level of vector instructions, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What the compilation target guarantees (SSE2 on x86-64, NEON on aarch64); no fused multiply-add is assumed.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors with fused multiply-add.
    Avx512,
}

impl Isa {
    /// Every level, lowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The level in use: what [`from_env`] asks for, or else the best of this machine.
    ///
    /// A variable that asks for something impossible is ignored here; programs call [`from_env`] at their start and
    /// report it.
    #[must_use]
    #[inline]
    pub fn current() -> Self {
        static CURRENT: OnceLock<Isa> = OnceLock::new();
        *CURRENT.get_or_init(|| from_env().unwrap_or_else(|_| Self::best()))
    }

    /// The highest level that this machine runs.
    #[must_use]
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 && is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if avx2 {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// The levels that this machine runs, lowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| *isa <= Self::best())
    }

    /// The name that [`VARIABLE`] takes and that a run's manifest records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// The level that [`VARIABLE`] asks for; the best of this machine where it is not set.
///
/// # Errors
/// The value is not the name of a level, or this machine does not have that level.
pub fn from_env() -> Result<Isa, String> {
    match std::env::var_os(VARIABLE) {
        None => Ok(Isa::best()),
        Some(value) => parse(&value.to_string_lossy(), Isa::best()),
    }
}

fn parse(value: &str, best: Isa) -> Result<Isa, String> {
    let Some(isa) = Isa::ALL.into_iter().find(|isa| isa.name() == value) else {
        return Err(format!(
            "{VARIABLE}={value} is not an instruction set: expected portable, avx2 or avx512; unset it to use {}",
            best.name()
        ));
    };
    if isa > best {
        return Err(format!(
            "{VARIABLE}={value} asks for instructions that this processor does not have: its best is {}",
            best.name()
        ));
    }
    Ok(isa)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_isa__a_lower_level_may_be_asked_for() {
        assert_eq!(parse("portable", Isa::Avx512), Ok(Isa::Portable));
        assert_eq!(parse("avx2", Isa::Avx2), Ok(Isa::Avx2));
    }

    #[test]
    fn test_isa__an_unknown_or_missing_level_is_an_error_that_names_it() {
        let unknown = parse("sse9", Isa::Avx2).unwrap_err();
        let missing = parse("avx512", Isa::Avx2).unwrap_err();

        assert!(unknown.contains("FOUNDRY_ISA=sse9") && unknown.contains("avx2"), "{unknown}");
        assert!(missing.contains("avx512") && missing.contains("its best is avx2"), "{missing}");
    }

    #[test]
    fn test_isa__portable_is_always_available() {
        assert_eq!(Isa::available().next(), Some(Isa::Portable));
        assert!(Isa::current() <= Isa::best());
    }
}
