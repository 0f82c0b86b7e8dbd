//! An Arrow IPC stream: framing and headers.
//!
//! ```text
//! FFFFFFFF | i32 length of the header | header (a FlatBuffer, padded) | body          a message
//! FFFFFFFF | 00000000                                                                 the end
//! ```
//!
//! The first message is the schema, without a body; then come record batches. A record batch header lists, for the
//! fields of the schema in depth-first order, a **node** (rows, nulls) each, and for each field's **buffers** (offset,
//! length) where they lie in the body. Which buffers a field has depends on its type; here only their number matters,
//! to find those of the columns that are wanted.
//! Format: <https://arrow.apache.org/docs/format/Columnar.html>.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::HfDatasetError;
use super::column::{Column, Kind};
use super::flatbuffer::{Malformed, Table};

/// Headers are a few hundred bytes; a longer one is damage.
const MAX_HEADER: u64 = 16 << 20;
const MAX_FIELDS: usize = 1 << 16;
const MAX_DEPTH: usize = 64;

/// Where a record batch lies in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchPlace {
    pub(super) header: u64,
    pub(super) header_len: u64,
    pub(super) body_len: u64,
    pub(super) rows: u64,
}

/// A file of record batches, looked through but for its bodies.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) path: PathBuf,
    pub(super) columns: Vec<Column>,
    pub(super) batches: Vec<BatchPlace>,
    pub(super) rows: u64,
}

/// Reads pieces of a file and says where reading failed.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) path: PathBuf,
    file: File,
    pub(super) length: u64,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, HfDatasetError> {
        let read = |source| HfDatasetError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        Ok(Self { path: path.to_owned(), file, length })
    }

    pub(super) fn damaged(&self, offset: u64, message: impl Into<String>) -> HfDatasetError {
        HfDatasetError::Damaged { path: self.path.clone(), offset, message: message.into() }
    }

    /// The bytes `at..at + len`.
    pub(super) fn bytes(&mut self, at: u64, len: u64) -> Result<Vec<u8>, HfDatasetError> {
        let inside = at.checked_add(len).is_some_and(|end| end <= self.length);
        let size = usize::try_from(len).ok().filter(|_| inside);
        let size = size.ok_or_else(|| {
            self.damaged(at, format!("{len} bytes should follow, the file ends at {}", self.length))
        })?;
        let mut bytes = vec![0; size];
        self.file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|source| HfDatasetError::Read { path: self.path.clone(), source })?;
        Ok(bytes)
    }
}

/// Headers by the number that a message gives them.
const SCHEMA: u8 = 1;
const DICTIONARY: u8 = 2;
const RECORD_BATCH: u8 = 3;

impl Shard {
    /// Looks through a file: schema, places of the batches, and the end where it should be.
    pub(super) fn open(path: &Path) -> Result<Self, HfDatasetError> {
        let mut reader = Reader::open(path)?;
        let mut shard =
            Self { path: path.to_owned(), columns: Vec::new(), batches: Vec::new(), rows: 0 };
        let mut at = 0;
        loop {
            let frame = reader.bytes(at, 8)?;
            let word = |i: usize| [frame[i], frame[i + 1], frame[i + 2], frame[i + 3]];
            if u32::from_le_bytes(word(0)) != u32::MAX {
                if frame.starts_with(b"ARROW1") {
                    let message = "an Arrow file, not the Arrow stream that save_to_disk writes";
                    return Err(reader.unsupported(message));
                }
                return Err(reader.damaged(at, "no message begins here"));
            }
            let header_len = u64::from(u32::from_le_bytes(word(4)));
            let header = at + 8;
            if header_len == 0 {
                if header != reader.length {
                    let rest = reader.length - header;
                    return Err(reader.damaged(header, format!("{rest} bytes follow the end")));
                }
                break;
            }
            if header_len > MAX_HEADER {
                return Err(reader.damaged(at + 4, format!("a header of {header_len} bytes")));
            }
            let bytes = reader.bytes(header, header_len)?;
            let message = read_message(&bytes)
                .map_err(|_| reader.damaged(header, "the header is malformed"))?;
            let body_len = u64::try_from(message.body_len)
                .map_err(|_| reader.damaged(header, "a body of negative length"))?;
            let end =
                (header + header_len).checked_add(body_len).filter(|&end| end <= reader.length);
            let Some(end) = end else {
                let message = format!(
                    "a body of {body_len} bytes should follow, the file ends at {}",
                    reader.length
                );
                return Err(reader.damaged(header + header_len, message));
            };
            match message.kind {
                SCHEMA if at == 0 && body_len == 0 => {
                    shard.columns =
                        read_schema(message.header).map_err(|e| reader.explain(header, e))?;
                }
                RECORD_BATCH if at > 0 => {
                    let rows = message.header.i64(0).ok().and_then(|rows| u64::try_from(rows).ok());
                    let rows = rows.filter(|&rows| rows <= reader.length * 8);
                    let rows =
                        rows.ok_or_else(|| reader.damaged(header, "an impossible number of rows"))?;
                    shard.batches.push(BatchPlace { header, header_len, body_len, rows });
                    shard.rows += rows;
                }
                DICTIONARY => {
                    let message = "has dictionary-encoded columns; save it again without them (cast the column)";
                    return Err(reader.unsupported(message));
                }
                kind => {
                    return Err(reader.damaged(at, format!("a message of kind {kind} stands here")));
                }
            }
            at = end;
        }
        if shard.columns.is_empty() {
            return Err(reader.damaged(0, "the schema names no column"));
        }
        Ok(shard)
    }
}

/// What a schema can be refused for.
pub(super) enum SchemaError {
    Malformed,
    Unsupported(String),
}

impl From<Malformed> for SchemaError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl Reader {
    fn unsupported(&self, message: &str) -> HfDatasetError {
        HfDatasetError::Unsupported { path: self.path.clone(), message: message.to_owned() }
    }

    fn explain(&self, at: u64, error: SchemaError) -> HfDatasetError {
        match error {
            SchemaError::Malformed => self.damaged(at, "the schema is malformed"),
            SchemaError::Unsupported(message) => self.unsupported(&message),
        }
    }
}

struct Message<'a> {
    kind: u8,
    header: Table<'a>,
    body_len: i64,
}

fn read_message(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let message = Table::root(bytes)?;
    let header = message.table(2)?.ok_or(Malformed)?;
    Ok(Message { kind: message.u8(1)?, header, body_len: message.i64(3)? })
}

/// The header of a record batch.
pub(super) fn read_batch(bytes: &[u8]) -> Result<Table<'_>, Malformed> {
    read_message(bytes).map(|message| message.header)
}

fn read_schema(schema: Table<'_>) -> Result<Vec<Column>, SchemaError> {
    if schema.i16(0)? != 0 {
        return Err(SchemaError::Unsupported(
            "is big-endian; save it on another machine".to_owned(),
        ));
    }
    let mut walk = Walk { nodes: 0, buffers: 0 };
    let mut columns = Vec::new();
    for field in schema.vector(1, 4)?.tables() {
        let field = field?;
        let column = Column {
            name: field.string(0)?.to_owned(),
            kind: Kind::of(field)?,
            node: walk.nodes,
            buffer: walk.buffers,
        };
        columns.push(column);
        walk.field(field, 0)?;
    }
    Ok(columns)
}

/// Counts the nodes and buffers of fields on the way.
struct Walk {
    nodes: usize,
    buffers: usize,
}

impl Walk {
    fn field(&mut self, field: Table<'_>, depth: usize) -> Result<(), SchemaError> {
        self.nodes += 1;
        if self.nodes > MAX_FIELDS || depth > MAX_DEPTH {
            return Err(SchemaError::Malformed);
        }
        // Null, RunEndEncoded: none. Int, float, bool, decimal, dates and times, fixed-size binary, list, map: validity
        // and one more. Text and binary: validity, offsets, bytes. Struct, fixed-size list: validity.
        let (own, has_children) = match field.u8(2)? {
            1 => (0, false),
            2 | 3 | 6..=11 | 15 | 18 => (2, false),
            4 | 5 | 19 | 20 => (3, false),
            12 | 17 | 21 => (2, true),
            13 | 16 => (1, true),
            22 => (0, true),
            other => {
                let message = format!(
                    "column '{}' has Arrow type {other}, which is not read",
                    field.string(0)?
                );
                return Err(SchemaError::Unsupported(message));
            }
        };
        if field.table(4)?.is_some() {
            let message = format!(
                "column '{}' is dictionary-encoded; cast it to plain values",
                field.string(0)?
            );
            return Err(SchemaError::Unsupported(message));
        }
        self.buffers += own;
        if has_children {
            for child in field.vector(5, 4)?.tables() {
                self.field(child?, depth + 1)?;
            }
        }
        Ok(())
    }
}
