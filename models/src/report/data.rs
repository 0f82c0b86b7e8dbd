//! What became of the corpus: the ledger as tables.

use super::markup::{Column, paragraph, table};
use crate::data::{DataLedger, SourceKind, SplitLedger};
use crate::pipeline::grouped;

/// The ledger of a run as markup: an account of every token by split, and the files.
#[must_use]
pub(super) fn ledger(ledger: &DataLedger) -> String {
    let mut columns = vec![("tokens", Column::Words)];
    let names: Vec<String> = ledger.splits.iter().map(|s| format!("{} text", s.split)).collect();
    columns.extend(names.iter().map(|name| (&**name, Column::Figures)));
    let row = |name: &str, value: &dyn Fn(&SplitLedger) -> String| {
        let mut row = vec![name.to_owned()];
        row.extend(ledger.splits.iter().map(value));
        row
    };
    let number =
        |name: &str, value: &dyn Fn(&SplitLedger) -> u64| row(name, &|split| grouped(value(split)));
    let share = |part: u64, of: u64| {
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        let share = 100.0 * part as f64 / of.max(1) as f64;
        format!("{} ({share:.2} %)", grouped(part))
    };
    let mut rows = vec![
        number("tokens of the text", &SplitLedger::text_tokens),
        row("  of them unknown", &|s| share(s.unknown_tokens(), s.text_tokens())),
        number("+ boundary tokens", &|s| s.boundary_tokens),
    ];
    if ledger.splits.iter().any(|s| s.frame_tokens > 0) {
        rows.push(number("+ tokens that frame rows", &|s| s.frame_tokens));
    }
    rows.push(number("= tokens", &SplitLedger::tokens));
    rows.push(number("in rows", &|s| s.chunk_tokens));
    rows.push(row("+ dropped", &|s| share(s.dropped(), s.tokens())));
    rows.push(number("rows", &|s| s.chunks));
    let caption = format!(
        "Every token of the corpus, in rows of at most {} tokens; {} tokenizer of {} tokens",
        grouped(ledger.max_sequence_length as u64),
        ledger.tokenizer_type,
        grouped(ledger.vocab_size as u64)
    );
    let mut html = table(&caption, &columns, &rows);
    html.push_str(&files(ledger));
    for warning in &ledger.warnings {
        html.push_str(&paragraph(&format!("Warning: {warning}")));
    }
    html
}

fn files(ledger: &DataLedger) -> String {
    let columns = [
        ("file", Column::Words),
        ("text", Column::Words),
        ("bytes of the file", Column::Figures),
        ("lines", Column::Figures),
        ("blank lines, skipped", Column::Figures),
        ("characters (or ids)", Column::Figures),
        ("tokens", Column::Figures),
        ("unknown tokens", Column::Figures),
        ("blake3 of the file", Column::Words),
    ];
    let mut rows = Vec::new();
    for split in &ledger.splits {
        for file in &split.files {
            let kind = match file.file.kind {
                SourceKind::Text => "",
                SourceKind::Jsonl => " (JSON Lines)",
                SourceKind::DatasetText => " (dataset of texts)",
                SourceKind::DatasetIds => " (dataset of ids)",
            };
            rows.push(vec![
                format!("{}{kind}", file.file.name),
                split.split.to_string(),
                grouped(file.file.bytes),
                grouped(file.passed.lines),
                grouped(file.passed.blank_lines),
                grouped(file.passed.characters),
                grouped(file.tokens),
                grouped(file.unknown_tokens),
                file.file.blake3.chars().take(16).collect(),
            ]);
        }
    }
    table("Files", &columns, &rows)
}
