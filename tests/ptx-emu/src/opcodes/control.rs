//! Branches (PTX ISA 9.7.12), barriers (9.7.13), `trap` (9.7.19).

use super::{Kind, Meaning, Row};

pub(super) fn rows() -> Vec<Row> {
    let t = |pattern, section, operands, meaning| {
        Row::new(pattern, section, operands, meaning, Kind::Control)
    };
    vec![
        t("bra", "9.7.12.3", "*", Meaning::Branch { uniform: false }),
        t("bra.uni", "9.7.12.3", "*", Meaning::Branch { uniform: true }),
        t("ret", "9.7.12.6", "", Meaning::Return),
        t("exit", "9.7.12.7", "", Meaning::Return),
        t("trap", "9.7.19.4", "", Meaning::Trap),
        Row::new("bar.sync", "9.7.13.1", "*", Meaning::Barrier, Kind::Barrier),
        Row::new("bar.warp.sync", "9.7.13.2", "b32", Meaning::WarpBarrier, Kind::Barrier),
    ]
}
