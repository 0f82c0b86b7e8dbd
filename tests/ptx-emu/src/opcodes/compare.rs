//! Comparisons (PTX ISA 9.7.6).
//!
//! The ordered comparisons of floats are false where an operand is NaN; the unordered ones (`equ`, `neu`, ...) and `nan`
//! are true there.

use super::{Combine, Kind, Meaning, Row};
use crate::number::float;
use std::sync::Arc;

fn mask(f: impl Fn(usize) -> bool) -> u32 {
    (0..32).fold(0, |m, i| m | u32::from(f(i)) << i)
}

fn words(f: impl Fn(u32, u32) -> bool + Copy + Send + Sync + 'static, c: Combine) -> Meaning {
    Meaning::CompareW(Arc::new(move |a, b| mask(|i| f(a[i], b[i]))), c)
}

fn doubles(f: impl Fn(u64, u64) -> bool + Copy + Send + Sync + 'static, c: Combine) -> Meaning {
    Meaning::CompareD(Arc::new(move |a, b| mask(|i| f(a[i], b[i]))), c)
}

/// One row for the plain comparison, and two that combine it with a predicate.
fn three(patterns: [&'static str; 3], meaning: impl Fn(Combine) -> Meaning) -> [Row; 3] {
    let forms = [
        (Combine::No, "pred T T"),
        (Combine::And, "pred T T pred"),
        (Combine::Or, "pred T T pred"),
    ];
    let mut forms = patterns.into_iter().zip(forms);
    std::array::from_fn(|_| {
        let (pattern, (combine, operands)) = forms.next().unwrap_or(("", (Combine::No, "")));
        Row::new(pattern, "9.7.6.2", operands, meaning(combine), Kind::Predicate)
    })
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![];
    macro_rules! compare {
        ($name:literal, $types:literal, $build:ident, $f:expr) => {
            let patterns = [
                concat!("setp.", $name, $types),
                concat!("setp.", $name, ".and", $types),
                concat!("setp.", $name, ".or", $types),
            ];
            rows.extend(three(patterns, |c| $build($f, c)));
        };
    }
    compare!("eq", "{.b32|.u32|.s32}", words, |a, b| a == b);
    compare!("ne", "{.b32|.u32|.s32}", words, |a, b| a != b);
    compare!("lt", ".u32", words, |a, b| a < b);
    compare!("le", ".u32", words, |a, b| a <= b);
    compare!("gt", ".u32", words, |a, b| a > b);
    compare!("ge", ".u32", words, |a, b| a >= b);
    compare!("lt", ".s32", words, |a, b| a.cast_signed() < b.cast_signed());
    compare!("le", ".s32", words, |a, b| a.cast_signed() <= b.cast_signed());
    compare!("gt", ".s32", words, |a, b| a.cast_signed() > b.cast_signed());
    compare!("ge", ".s32", words, |a, b| a.cast_signed() >= b.cast_signed());
    compare!("eq", "{.b64|.u64|.s64}", doubles, |a, b| a == b);
    compare!("ne", "{.b64|.u64|.s64}", doubles, |a, b| a != b);
    compare!("lt", ".u64", doubles, |a, b| a < b);
    compare!("le", ".u64", doubles, |a, b| a <= b);
    compare!("gt", ".u64", doubles, |a, b| a > b);
    compare!("ge", ".u64", doubles, |a, b| a >= b);
    compare!("eq", ".f32", words, |a, b| float(a) == float(b));
    compare!("ne", ".f32", words, |a, b| float(a) < float(b) || float(a) > float(b));
    compare!("lt", ".f32", words, |a, b| float(a) < float(b));
    compare!("le", ".f32", words, |a, b| float(a) <= float(b));
    compare!("gt", ".f32", words, |a, b| float(a) > float(b));
    compare!("ge", ".f32", words, |a, b| float(a) >= float(b));
    compare!("neu", ".f32", words, |a, b| float(a) != float(b));
    compare!("nan", ".f32", words, |a, b| float(a).is_nan() || float(b).is_nan());
    rows
}
