//! Hugging Face `datasets` folders, as `save_to_disk` writes them.
//!
//! ```text
//! folder/state.json               names of the data files, in order
//! folder/dataset_info.json        a description, not needed to read
//! folder/data-00000-of-00001.arrow    Arrow IPC streams
//! ```
//!
//! Read are columns of token ids (lists of 8 to 64 bit whole numbers, fixed-size lists too) and of text. The reader
//! knows the part of the Arrow format that such folders use and no more: about 500 lines without a dependency, where the
//! `arrow-ipc` family of crates takes a minute to compile and asserts where a damaged file should be an error. Files are
//! read, not mapped: one that shrinks while it is read gives an error, not a signal.
//!
//! Arrow has no checksums: a flipped bit inside an id is an id. What can be checked is checked before use: framing,
//! lengths, offsets, UTF-8, ids that are negative or too large (and, where a vocabulary is given, outside it), and that
//! every file ends with its end mark and nothing behind it, so that a file that was cut off is never a shorter dataset.

mod column;
mod error;
mod flatbuffer;
mod stream;

use std::path::{Path, PathBuf};

use column::{Column, Kind, Rows};
pub use error::HfDatasetError;
use stream::{Reader, Shard, read_batch};

/// The largest state.json that is read.
const MAX_STATE: u64 = 16 << 20;

/// A dataset folder, looked through.
#[derive(Clone, Debug)]
pub struct HfDataset {
    folder: PathBuf,
    shards: Vec<Shard>,
}

impl HfDataset {
    /// Looks through a folder: its files, their schemas and the places of their rows.
    ///
    /// # Errors
    /// A folder that is no dataset or holds several splits; data files that are missing, damaged, cut off, of different
    /// schemas, or of kinds that are not read.
    pub fn open(folder: &Path) -> Result<Self, HfDatasetError> {
        let names = data_files(folder)?;
        let mut shards: Vec<Shard> = Vec::with_capacity(names.len());
        for name in names {
            let shard = Shard::open(&folder.join(name))?;
            if let Some(first) = shards.first().filter(|first| first.columns != shard.columns) {
                let message = format!("has other columns than {}", first.path.display());
                return Err(HfDatasetError::Unsupported { path: shard.path, message });
            }
            shards.push(shard);
        }
        Ok(Self { folder: folder.to_owned(), shards })
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.shards.iter().map(|shard| shard.rows).sum()
    }

    /// The names of the columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.shards.iter().take(1).flat_map(|shard| &shard.columns).map(|c| c.name.as_str())
    }

    /// The data files, in order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|shard| shard.path.as_path())
    }

    /// The rows of a column of token ids, in order. With `vocab_size`, an id outside the vocabulary is an error.
    ///
    /// # Errors
    /// No such column, or one that holds no lists of whole numbers; while iterating, damaged rows, ids that are
    /// negative or above 2^32 - 1, and ids outside the vocabulary.
    pub fn ids(
        &self,
        column: &str,
        vocab_size: Option<usize>,
    ) -> Result<impl Iterator<Item = Result<Vec<u32>, HfDatasetError>>, HfDatasetError> {
        let column =
            self.column(column, "lists of ids", |kind| matches!(kind, Kind::Ids { .. }))?;
        let in_vocabulary = move |ids: Vec<u32>| match vocab_size {
            Some(size) => match ids.iter().find(|&&id| id as usize >= size) {
                Some(id) => Err(format!("id {id} is outside the vocabulary of {size} tokens")),
                None => Ok(ids),
            },
            None => Ok(ids),
        };
        Ok(Cursor::new(&self.shards, column, move |rows, i| rows.ids(i).and_then(in_vocabulary)))
    }

    /// The rows of a column of text, in order.
    ///
    /// # Errors
    /// No such column, or one that holds no text; while iterating, damaged rows.
    pub fn texts(
        &self,
        column: &str,
    ) -> Result<impl Iterator<Item = Result<String, HfDatasetError>>, HfDatasetError> {
        let column = self.column(column, "text", |kind| matches!(kind, Kind::Text { .. }))?;
        Ok(Cursor::new(&self.shards, column, Rows::text))
    }

    /// The BLAKE3 hash of all data files in order, as 64 hexadecimal digits: what a cache of the rows is keyed by.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn blake3(&self) -> Result<String, HfDatasetError> {
        let mut hasher = blake3::Hasher::new();
        for shard in &self.shards {
            let read = |source| HfDatasetError::Read { path: shard.path.clone(), source };
            let file = std::fs::File::open(&shard.path).map_err(read)?;
            hasher.update_reader(file).map_err(read)?;
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    fn column(
        &self,
        name: &str,
        wanted: &'static str,
        good: impl Fn(Kind) -> bool,
    ) -> Result<Column, HfDatasetError> {
        let columns = self.shards.first().map_or(&[][..], |shard| &shard.columns);
        let found = columns.iter().find(|column| column.name == name && good(column.kind));
        found.cloned().ok_or_else(|| {
            let named = |c: &Column| format!("'{}' ({})", c.name, c.kind.name());
            let columns = columns.iter().map(named).collect::<Vec<_>>().join(", ");
            let (folder, column) = (self.folder.clone(), name.to_owned());
            HfDatasetError::Column { folder, column, wanted, columns }
        })
    }
}

/// The names in state.json.
fn data_files(folder: &Path) -> Result<Vec<String>, HfDatasetError> {
    let not = |reason: String| HfDatasetError::NotADataset { folder: folder.to_owned(), reason };
    if !folder.is_dir() {
        return Err(not("it is no folder".to_owned()));
    }
    if folder.join("dataset_dict.json").is_file() {
        let reason = "it holds several splits; give the folder of one, such as its subfolder train";
        return Err(not(reason.to_owned()));
    }
    let path = folder.join("state.json");
    let length =
        std::fs::metadata(&path).map_err(|_| not("it has no state.json".to_owned()))?.len();
    if length > MAX_STATE {
        return Err(not(format!("its state.json has {length} bytes")));
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|source| HfDatasetError::Read { path: path.clone(), source })?;
    let state: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| not(format!("its state.json is damaged: {e}")))?;
    let indices = ["_indices_files", "_indices_data_files"].map(|key| &state[key]);
    if indices.iter().any(|value| value.as_array().is_some_and(|files| !files.is_empty())) {
        let reason = "it is a selection of rows by index; save it after flatten_indices()";
        return Err(not(reason.to_owned()));
    }
    let files = state["_data_files"].as_array().filter(|files| !files.is_empty());
    let files = files.ok_or_else(|| not("its state.json names no data files".to_owned()))?;
    let name = |file: &serde_json::Value| {
        let name = file["filename"].as_str().unwrap_or_default();
        // A name with a folder in it would read from anywhere.
        let plain = Path::new(name).file_name().is_some_and(|file| file == name);
        let clean = plain && !name.contains(['/', '\\', '\0']);
        clean
            .then(|| name.to_owned())
            .ok_or_else(|| not(format!("its state.json names the file {name:?}")))
    };
    files.iter().map(name).collect()
}

/// Goes through the rows of a column, one record batch in memory at a time; ends at the first error.
struct Cursor<'a, F> {
    shards: std::slice::Iter<'a, Shard>,
    column: Column,
    decode: F,
    /// The open file, the batches of it that are left, and the row in the file at which the next batch begins.
    open: Option<(Reader, std::slice::Iter<'a, stream::BatchPlace>, u64)>,
    /// The current batch, and the next row in it.
    rows: Option<(Rows, u64)>,
    failed: bool,
}

impl<'a, F, T> Cursor<'a, F>
where
    F: Fn(&Rows, u64) -> Result<T, String>,
{
    fn new(shards: &'a [Shard], column: Column, decode: F) -> Self {
        Self { shards: shards.iter(), column, decode, open: None, rows: None, failed: false }
    }

    fn advance(&mut self) -> Result<Option<T>, HfDatasetError> {
        loop {
            if let (Some((rows, next)), Some((reader, _, begin))) = (&mut self.rows, &self.open)
                && *next < rows.len
            {
                let row = *next;
                *next += 1;
                return (self.decode)(rows, row).map(Some).map_err(|message| {
                    let row = begin - rows.len + row;
                    HfDatasetError::Row { path: reader.path.clone(), row, message }
                });
            }
            self.rows = None;
            let Some((reader, batches, begin)) = &mut self.open else {
                let Some(shard) = self.shards.next() else { return Ok(None) };
                self.open = Some((Reader::open(&shard.path)?, shard.batches.iter(), 0));
                continue;
            };
            let Some(place) = batches.next() else {
                self.open = None;
                continue;
            };
            let header = reader.bytes(place.header, place.header_len)?;
            let body = reader.bytes(place.header + place.header_len, place.body_len)?;
            let rows = read_batch(&header)
                .map_err(|_| "the header of the record batch is malformed")
                .and_then(|batch| Rows::new(batch, body, &self.column, place.rows))
                .map_err(|message| reader.damaged(place.header, message))?;
            *begin += rows.len;
            self.rows = Some((rows, 0));
        }
    }
}

impl<F, T> Iterator for Cursor<'_, F>
where
    F: Fn(&Rows, u64) -> Result<T, String>,
{
    type Item = Result<T, HfDatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.advance();
        self.failed = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

#[cfg(test)]
mod tests;
