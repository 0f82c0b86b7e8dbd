//! Loads, stores, atomics, asynchronous copies (PTX ISA 9.7.9, 9.7.13).

use super::{Atomic, Kind, Meaning, Row, Space};
use crate::number::{bits, float};

pub(super) fn rows() -> Vec<Row> {
    let t = |pattern, section, meaning| Row::new(pattern, section, "*", meaning, Kind::Memory);
    let mut rows = vec![
        t("ld.param{.b32|.u32|.s32|.f32|.b64|.u64|.s64|.f64}", "9.7.9.8", Meaning::LoadParameter),
        t(
            "ld.global{.b8|.u8|.b16|.u16|.b32|.u32|.s32|.f32|.b64|.u64|.s64|.f64|.v2.b32|.v2.u32|.v2.f32|.v2.b64|.v2.u64|.v2.f64|.v4.b32|.v4.u32|.v4.f32}",
            "9.7.9.8",
            Meaning::Load(Space::Global),
        ),
        t(
            "ld.global.nc{.b16|.u16|.b32|.u32|.f32|.v2.b32|.v2.u32|.v2.f32|.v4.b32|.v4.u32|.v4.f32}",
            "9.7.9.9",
            Meaning::LoadReadOnly,
        ),
        t(
            "ld.shared{.b8|.u8|.b16|.u16|.b32|.u32|.s32|.f32|.b64|.u64|.f64|.v2.b32|.v2.u32|.v2.f32|.v4.b32|.v4.u32|.v4.f32}",
            "9.7.9.8",
            Meaning::Load(Space::Shared),
        ),
        t(
            "st.global{.b8|.u8|.b16|.u16|.b32|.u32|.s32|.f32|.b64|.u64|.s64|.f64|.v2.b32|.v2.u32|.v2.f32|.v2.b64|.v2.u64|.v2.f64|.v4.b32|.v4.u32|.v4.f32}",
            "9.7.9.11",
            Meaning::Store(Space::Global),
        ),
        t(
            "st.shared{.b8|.u8|.b16|.u16|.b32|.u32|.s32|.f32|.b64|.u64|.f64|.v2.b32|.v2.u32|.v2.f32|.v4.b32|.v4.u32|.v4.f32}",
            "9.7.9.11",
            Meaning::Store(Space::Shared),
        ),
        t("cp.async.ca.shared.global", "9.7.9.25.3.1", Meaning::CopyAsync).target(80),
        t("cp.async.cg.shared.global", "9.7.9.25.3.1", Meaning::CopyAsync).target(80),
        t("cp.async.commit_group", "9.7.9.25.3.2", Meaning::CommitCopies).target(80),
        t("cp.async.wait_group", "9.7.9.25.3.3", Meaning::WaitCopies { all: false }).target(80),
        t("cp.async.wait_all", "9.7.9.25.3.3", Meaning::WaitCopies { all: true }).target(80),
    ];
    rows.extend(atomics());
    rows
}

fn atomics() -> Vec<Row> {
    let two = Atomic::Two;
    let (global, shared) = (Space::Global, Space::Shared);
    let t = |pattern, space, operation, returns| {
        let section = if returns { "9.7.13.5" } else { "9.7.13.6" };
        Row::new(pattern, section, "*", Meaning::Atomic(space, operation, returns), Kind::Memory)
    };
    let add = two(u32::wrapping_add);
    let add_f32 = two(|a, b| bits(float(a) + float(b)));
    let min = two(u32::min);
    let max = two(u32::max);
    let or = two(|a, b| a | b);
    let exchange = two(|_, b| b);
    // "inc: (old >= b) ? 0 : old + 1"
    let inc = two(|a, b| if a >= b { 0 } else { a + 1 });
    vec![
        t("red.global.add{.u32|.s32}", global, add, false),
        t("red.global.add.f32", global, add_f32, false),
        t("red.global.or.b32", global, or, false),
        t("red.global.min.u32", global, min, false),
        t("red.global.max.u32", global, max, false),
        t("red.shared.add{.u32|.s32}", shared, add, false),
        t("red.shared.add.f32", shared, add_f32, false),
        t("red.shared.or.b32", shared, or, false),
        t("atom.global.add{.u32|.s32}", global, add, true),
        t("atom.global.add.f32", global, add_f32, true),
        t("atom.global.exch.b32", global, exchange, true),
        t("atom.global.inc.u32", global, inc, true),
        t("atom.global.min.u32", global, min, true),
        t("atom.global.max.u32", global, max, true),
        t("atom.global.cas.b32", global, Atomic::CompareAndSwap, true),
        t("atom.shared.add{.u32|.s32}", shared, add, true),
        t("atom.shared.add.f32", shared, add_f32, true),
        t("atom.shared.exch.b32", shared, exchange, true),
        t("atom.shared.cas.b32", shared, Atomic::CompareAndSwap, true),
    ]
}
