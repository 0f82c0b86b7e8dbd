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
//! compared a comparison and its run folders -> report.html
//! ```

mod axis;
mod chart;
mod compared;
mod curves;
mod data;
mod grammar;
mod markup;
mod run;

pub use axis::{Axis, Figures};
pub use chart::{Chart, Ground, Level, Pen, Series, style};
pub use compared::{comparison_report, losses_of_models};
pub use curves::{Curves, loss_curve_svg};
pub use grammar::{Accuracy, Learned};
pub use markup::{
    Column, Part, details, escape, facts, notes, page, paragraph, report, section, subheading,
    table, two_views, verbatim,
};
pub use run::{RunReport, final_report, run_report};
