//! Reports: what a run did, as one page that a person can read, print and mail.
//!
//! ```text
//! axis     values -> places and ticks
//! chart    lines -> SVG
//! markup   text and tables -> HTML that loads nothing
//! curves   metrics.jsonl -> charts of loss, perplexity, learning rate
//! grammar  eval/minimal_pairs.csv -> learning curves and the table of phenomena
//! data     data_ledger.json -> tables
//! run      a run folder -> report.html
//! ```

mod axis;
mod chart;
mod curves;
mod data;
mod grammar;
mod markup;
mod run;

pub use axis::{Axis, Figures};
pub use chart::{Chart, Ground, Level, Pen, Series, style};
pub use curves::{Curves, loss_curve_svg};
pub use grammar::{Accuracy, Learned};
pub use markup::{Column, escape, facts, page, paragraph, section, table, two_views};
pub use run::{RunReport, run_report};
