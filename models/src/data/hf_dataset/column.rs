//! Lists of token ids and texts in the body of a record batch.
//!
//! A list column of n rows is n + 1 offsets into the values of its child: row i is `values[offsets[i]..offsets[i + 1]]`.
//! A text column is the same with bytes for values. Every offset and size is checked against the body before use.

use super::flatbuffer::{Malformed, Table, array};
use super::stream::SchemaError;

/// A column of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Its first node and buffer among those of a record batch.
    pub(super) node: usize,
    pub(super) buffer: usize,
}

/// What a column holds, as far as that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lists of whole numbers.
    Ids { list: List, width: u8, signed: bool },
    /// UTF-8 texts.
    Text { wide: bool },
    /// Anything else.
    Other,
}

/// How a list says where its rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// Offsets of 32 bits, or of 64.
    Offsets { wide: bool },
    /// All rows have this length.
    Fixed(u64),
}

impl Kind {
    pub(super) fn of(field: Table<'_>) -> Result<Self, SchemaError> {
        let list = match field.u8(2)? {
            5 => return Ok(Self::Text { wide: false }),
            20 => return Ok(Self::Text { wide: true }),
            12 => List::Offsets { wide: false },
            21 => List::Offsets { wide: true },
            16 => {
                let size = field.table(3)?.ok_or(Malformed)?.i32(0)?;
                List::Fixed(u64::try_from(size).map_err(|_| Malformed)?)
            }
            _ => return Ok(Self::Other),
        };
        let child = field.vector(5, 4)?.tables().next().ok_or(Malformed)??;
        if child.u8(2)? != 2 {
            return Ok(Self::Other);
        }
        let number = child.table(3)?.ok_or(Malformed)?;
        let (bits, signed) = (number.i32(0)?, number.u8(1)? != 0);
        let width = match bits {
            8 => 1,
            16 => 2,
            32 => 4,
            64 => 8,
            _ => return Err(SchemaError::Malformed),
        };
        Ok(Self::Ids { list, width, signed })
    }

    /// In words, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ids { .. } => "lists of ids",
            Self::Text { .. } => "text",
            Self::Other => "something else",
        }
    }
}

/// One column of one record batch, checked.
#[derive(Debug)]
pub(super) struct Rows {
    body: Vec<u8>,
    kind: Kind,
    pub(super) len: u64,
    offsets: usize,
    values: usize,
    /// Values of the child (for text: bytes).
    count: u64,
}

/// What is wrong with a batch.
pub(super) type Problem = &'static str;

impl Rows {
    pub(super) fn new(
        batch: Table<'_>,
        body: Vec<u8>,
        column: &Column,
        len: u64,
    ) -> Result<Self, Problem> {
        const HEADER: &str = "the header of the record batch is malformed";
        if batch.table(3).map_err(|_| HEADER)?.is_some() {
            return Err("the record batch is compressed, which save_to_disk never does");
        }
        let nodes = batch.vector(1, 16).map_err(|_| HEADER)?;
        let buffers = batch.vector(2, 16).map_err(|_| HEADER)?;
        let node = |i: usize| {
            let (rows, nulls) = nodes.pair(column.node + i).map_err(|_| HEADER)?;
            match (u64::try_from(rows), nulls) {
                (Ok(rows), 0) => Ok(rows),
                (Ok(_), 1..) => Err("the column has empty (null) places"),
                _ => Err(HEADER),
            }
        };
        // Where buffer i begins and how long it is.
        let buffer = |i: usize| {
            let (at, size) = buffers.pair(column.buffer + i).map_err(|_| HEADER)?;
            let range = usize::try_from(at).ok().zip(usize::try_from(size).ok());
            range
                .filter(|(at, size)| at.checked_add(*size).is_some_and(|end| end <= body.len()))
                .ok_or("a buffer lies outside the body")
        };
        if node(0)? != len {
            return Err("the column has another number of rows than its batch");
        }
        let (offsets, values, count, width, wide) = match column.kind {
            Kind::Ids { list: List::Offsets { wide }, width, .. } => {
                (Some(buffer(1)?), buffer(3)?, node(1)?, width, wide)
            }
            Kind::Ids { list: List::Fixed(_), width, .. } => {
                (None, buffer(2)?, node(1)?, width, false)
            }
            Kind::Text { wide } => {
                let bytes = buffer(2)?;
                (Some(buffer(1)?), bytes, bytes.1 as u64, 1, wide)
            }
            Kind::Other => return Err("the column is of no kind that is read"),
        };
        let fits = |count: Option<u64>, width: u8, size: usize| {
            count
                .and_then(|count| count.checked_mul(u64::from(width)))
                .is_some_and(|b| b <= size as u64)
        };
        if !fits(Some(count), width, values.1) {
            return Err("the values are longer than their buffer");
        }
        if let Some((_, size)) = offsets {
            // A batch of no rows may have no offsets at all.
            let needed = if len == 0 { Some(0) } else { len.checked_add(1) };
            if !fits(needed, if wide { 8 } else { 4 }, size) {
                return Err("the offsets are longer than their buffer");
            }
        }
        let offsets = offsets.map_or(0, |(at, _)| at);
        Ok(Self { body, kind: column.kind, len, offsets, values: values.0, count })
    }

    /// The places of row `i` among the values.
    fn range(&self, i: u64) -> Result<std::ops::Range<usize>, Problem> {
        const OFFSETS: &str = "the offsets of the rows are not in order";
        let offset = |i: u64| -> Option<u64> {
            let i = usize::try_from(i).ok()?;
            match self.kind {
                Kind::Ids { list: List::Fixed(size), .. } => (i as u64).checked_mul(size),
                Kind::Ids { list: List::Offsets { wide: true }, .. }
                | Kind::Text { wide: true } => {
                    let at = self.offsets.checked_add(i.checked_mul(8)?)?;
                    array(&self.body, at).ok().and_then(|b| i64::from_le_bytes(b).try_into().ok())
                }
                _ => {
                    let at = self.offsets.checked_add(i.checked_mul(4)?)?;
                    array(&self.body, at).ok().and_then(|b| i32::from_le_bytes(b).try_into().ok())
                }
            }
        };
        let (begin, end) = offset(i).zip(offset(i + 1)).ok_or(OFFSETS)?;
        if begin > end || end > self.count {
            return Err(OFFSETS);
        }
        let place = |n: u64| usize::try_from(n).map_err(|_| OFFSETS);
        Ok(place(begin)?..place(end)?)
    }

    /// The ids of row `i`.
    pub(super) fn ids(&self, i: u64) -> Result<Vec<u32>, String> {
        let Kind::Ids { width, signed, .. } = self.kind else {
            return Err("the column holds no ids".to_owned());
        };
        let size = usize::from(width);
        let range = self.range(i)?;
        let bytes = self.body.get(self.values + range.start * size..self.values + range.end * size);
        let bytes = bytes.ok_or("the values are longer than their buffer")?;
        let id = |bytes: &[u8]| {
            let mut word = [0_u8; 8];
            word[..size].copy_from_slice(bytes);
            let raw = u64::from_le_bytes(word);
            // Moves the sign to the top of the word, and back.
            let unused = 64 - 8 * u32::from(width);
            let negative = signed && raw << unused >> 63 == 1;
            let shown =
                if negative { (raw << unused).cast_signed() >> unused } else { raw.cast_signed() };
            u32::try_from(raw)
                .ok()
                .filter(|_| !negative)
                .ok_or_else(|| format!("{shown} is no token id (they go from 0 to {})", u32::MAX))
        };
        bytes.chunks_exact(size).map(id).collect()
    }

    /// The text of row `i`.
    pub(super) fn text(&self, i: u64) -> Result<String, String> {
        let range = self.range(i)?;
        let bytes = self.body.get(self.values + range.start..self.values + range.end);
        let bytes = bytes.ok_or("the texts are longer than their buffer")?;
        let bad = |e: std::str::Utf8Error| {
            format!("the text is not UTF-8: bad byte at its offset {}", e.valid_up_to())
        };
        std::str::from_utf8(bytes).map(str::to_owned).map_err(bad)
    }
}
