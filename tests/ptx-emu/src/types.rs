//! The fundamental types of PTX (ISA 5.2) and which register fits which instruction (ISA 9.4).

use std::fmt;

/// A type as it stands at the end of an opcode or in a register declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Type {
    Pred,
    Bits(u8),
    Unsigned(u8),
    Signed(u8),
    /// f16, f32, f64.
    Float(u8),
    Bf16,
}

/// Which file of registers holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// 8, 16 and 32 bits, each in a word.
    Word,
    /// 64 bits.
    Double,
    /// One bit a lane.
    Predicate,
}

impl Type {
    /// The type of this name, written without its dot.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "pred" => Self::Pred,
            "bf16" => Self::Bf16,
            "f16" => Self::Float(2),
            "f32" => Self::Float(4),
            "f64" => Self::Float(8),
            "f16x2" | "bf16x2" | "tf32" => Self::Bits(4),
            _ => {
                let bytes = match name.get(1..)? {
                    "8" => 1,
                    "16" => 2,
                    "32" => 4,
                    "64" => 8,
                    _ => return None,
                };
                match name.as_bytes()[0] {
                    b'b' => Self::Bits(bytes),
                    b'u' => Self::Unsigned(bytes),
                    b's' => Self::Signed(bytes),
                    _ => return None,
                }
            }
        })
    }

    pub(crate) fn bytes(self) -> u8 {
        match self {
            Self::Pred => 0,
            Self::Bits(n) | Self::Unsigned(n) | Self::Signed(n) | Self::Float(n) => n,
            Self::Bf16 => 2,
        }
    }

    pub(crate) fn class(self) -> Class {
        match self.bytes() {
            0 => Class::Predicate,
            8 => Class::Double,
            _ => Class::Word,
        }
    }

    /// The type of the product of `mul.wide`.
    pub(crate) fn doubled(self) -> Self {
        match self {
            Self::Unsigned(n) => Self::Unsigned(2 * n),
            Self::Signed(n) => Self::Signed(2 * n),
            other => other,
        }
    }

    /// ISA 9.4: "For most operations, the operand type must agree with the instruction-type": bit-size types agree with
    /// any type of the same size, integer types of the same size agree, floating-point types agree only with themselves.
    pub(crate) fn takes(self, register: Self) -> bool {
        let bits = |t| matches!(t, Self::Bits(_));
        let integer = |t| matches!(t, Self::Unsigned(_) | Self::Signed(_));
        self == register
            || self.bytes() == register.bytes()
                && self != Self::Pred
                && (bits(self) || bits(register) || integer(self) && integer(register))
    }

    /// ISA 9.4.1: `ld`, `st` and `cvt` take registers wider than the type, of a kind that agrees.
    pub(crate) fn takes_relaxed(self, register: Self) -> bool {
        let float = |t| matches!(t, Self::Float(_) | Self::Bf16);
        self.takes(register)
            || register.bytes() > self.bytes()
                && self != Self::Pred
                && !float(register)
                && (!float(self) || matches!(register, Self::Bits(_)))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letter, bytes) = match self {
            Self::Pred => return f.write_str(".pred"),
            Self::Bf16 => return f.write_str(".bf16"),
            Self::Bits(n) => ('b', n),
            Self::Unsigned(n) => ('u', n),
            Self::Signed(n) => ('s', n),
            Self::Float(n) => ('f', n),
        };
        write!(f, ".{letter}{}", u32::from(*bytes) * 8)
    }
}
