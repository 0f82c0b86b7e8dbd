//! What a corpus is made of: text files, files of JSON Lines, and Hugging Face dataset folders.
//!
//! | source | what is read | a unit (`unit: line`) | a unit (`unit: document`) |
//! |---|---|---|---|
//! | text | a file | a line | the file |
//! | `.jsonl` | the field `text` of each record | a line of a record | a record |
//! | dataset, text | the column `text` | a line of a row | a row |
//! | dataset, ids | the column `input_ids`, if there is no `text` | a row | a row |
//!
//! Text in a file and text in a record are read alike: carriage returns before line feeds are dropped, and nothing else
//! is changed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DataError;
use super::hf_dataset::{HfDataset, HfDatasetError};
use super::jsonl::{JsonlReader, TEXT_FIELD};
use super::text::TextReader;

/// The columns of a dataset that are read: the first that is there.
const TEXT_COLUMN: &str = "text";
const IDS_COLUMN: &str = "input_ids";

/// What a corpus file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A text file.
    #[default]
    Text,
    /// A file of JSON Lines.
    Jsonl,
    /// A Hugging Face dataset with a column of text.
    DatasetText,
    /// A Hugging Face dataset with a column of token ids: text that was tokenized before.
    DatasetIds,
}

/// A file (or a dataset folder) as the first reading found it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusFile {
    /// The name, without its folder.
    pub name: String,
    /// What it is.
    pub kind: SourceKind,
    /// Bytes.
    pub bytes: u64,
    /// The blake3 hash of the bytes.
    pub blake3: String,
    /// Unicode scalar values of text, without byte order mark and dropped carriage returns; of token ids, ids.
    pub characters: u64,
    /// Whether a byte order mark was dropped.
    pub byte_order_mark: bool,
    /// Carriage returns dropped before line feeds.
    pub carriage_returns: u64,
    /// Records or rows, empty ones included; 0 for a text file.
    pub records: u64,
}

/// A file or dataset to read.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Text(PathBuf),
    Jsonl(PathBuf),
    DatasetText(PathBuf, HfDataset),
    DatasetIds(PathBuf, HfDataset),
}

/// What a reader comes to next.
pub(super) enum Found {
    /// Text that goes on where the block before ended.
    Block,
    /// The text of a whole record.
    Record,
    /// The ids of a whole row.
    Ids(Vec<u32>),
    /// Nothing more.
    End,
}

/// Corpus files by name, or the one dataset.
pub(super) fn sources(field: &str, path: &Path) -> Result<Vec<Source>, DataError> {
    let read = |source| DataError::Read { path: path.to_owned(), source };
    if !path.exists() {
        return Err(DataError::Missing { field: field.to_owned(), path: path.to_owned() });
    }
    let refuse = |reason| {
        let (field, path) = (field.to_owned(), path.to_owned());
        DataError::Unsupported { field, path, reason }
    };
    if !path.is_dir() {
        return match extension(path).as_str() {
            "jsonl" => Ok(vec![Source::Jsonl(path.to_owned())]),
            "json" => Err(refuse(
                "a .json file is not read; write one object a line, with its text in the field 'text', as .jsonl",
            )),
            "arrow" => Err(refuse("give the folder that save_to_disk wrote, not a file in it")),
            "parquet" | "gz" | "zst" | "xz" | "bz2" | "zip" | "tar" | "tgz" => {
                Err(refuse("packed files are not read; unpack it to text or .jsonl"))
            }
            _ => Ok(vec![Source::Text(path.to_owned())]),
        };
    }
    let (mut sources, mut dataset) = (Vec::new(), false);
    for entry in std::fs::read_dir(path).map_err(read)? {
        let file = entry.map_err(read)?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || !file.is_file() {
            continue;
        }
        dataset |= ["state.json", "dataset_dict.json"].contains(&&*name);
        match extension(&file).as_str() {
            "train" | "txt" => sources.push(Source::Text(file)),
            "jsonl" => sources.push(Source::Jsonl(file)),
            "arrow" => dataset = true,
            _ => {}
        }
    }
    if dataset {
        return Ok(vec![Source::dataset(path)?]);
    }
    if sources.is_empty() {
        return Err(DataError::NoFiles { field: field.to_owned(), path: path.to_owned() });
    }
    sources.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(sources)
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

impl Source {
    fn dataset(folder: &Path) -> Result<Self, DataError> {
        let (dataset, folder) = (HfDataset::open(folder)?, folder.to_owned());
        if dataset.texts(TEXT_COLUMN).is_ok() {
            return Ok(Self::DatasetText(folder, dataset));
        }
        if let Err(HfDatasetError::Column { folder, columns, .. }) =
            dataset.ids(IDS_COLUMN, None).map(drop)
        {
            let (column, wanted) = (format!("{TEXT_COLUMN}' or '{IDS_COLUMN}"), "text or ids");
            return Err(HfDatasetError::Column { folder, column, wanted, columns }.into());
        }
        Ok(Self::DatasetIds(folder, dataset))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Text(path)
            | Self::Jsonl(path)
            | Self::DatasetText(path, _)
            | Self::DatasetIds(path, _) => path,
        }
    }

    fn kind(&self) -> SourceKind {
        match self {
            Self::Text(_) => SourceKind::Text,
            Self::Jsonl(_) => SourceKind::Jsonl,
            Self::DatasetText(..) => SourceKind::DatasetText,
            Self::DatasetIds(..) => SourceKind::DatasetIds,
        }
    }

    /// Reads all of it once.
    pub(super) fn scan(&self) -> Result<CorpusFile, DataError> {
        let mut reader = SourceReader::open(self)?;
        let mut file = CorpusFile {
            name: self.path().file_name().unwrap_or_default().to_string_lossy().into_owned(),
            kind: self.kind(),
            ..CorpusFile::default()
        };
        let mut text = String::new();
        loop {
            let (characters, record) = match reader.read(&mut text)? {
                Found::Block => (text.chars().count(), false),
                Found::Record => (text.chars().count(), true),
                Found::Ids(ids) => (ids.len(), true),
                Found::End => break,
            };
            file.characters += characters as u64;
            file.records += u64::from(record);
        }
        (file.bytes, file.blake3) = (reader.bytes(), reader.hash()?);
        file.byte_order_mark = matches!(&reader.from, Open::Text(text) if text.byte_order_mark);
        file.carriage_returns = match &reader.from {
            Open::Text(text) => text.carriage_returns,
            _ => reader.carriage_returns,
        };
        Ok(file)
    }
}

type Rows<'a, T> = Box<dyn Iterator<Item = Result<T, HfDatasetError>> + Send + 'a>;

/// Reads a source from its beginning to its end.
pub(super) struct SourceReader<'a> {
    from: Open<'a>,
    carriage_returns: u64,
}

enum Open<'a> {
    Text(TextReader),
    Jsonl(JsonlReader),
    Texts(&'a HfDataset, Rows<'a, String>),
    Ids(&'a HfDataset, Rows<'a, Vec<u32>>),
}

impl std::fmt::Debug for SourceReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceReader").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl<'a> SourceReader<'a> {
    pub(super) fn open(source: &'a Source) -> Result<Self, DataError> {
        let from = match source {
            Source::Text(path) => Open::Text(TextReader::open(path)?),
            Source::Jsonl(path) => Open::Jsonl(JsonlReader::open(path, TEXT_FIELD)?),
            Source::DatasetText(_, set) => Open::Texts(set, Box::new(set.texts(TEXT_COLUMN)?)),
            Source::DatasetIds(_, set) => Open::Ids(set, Box::new(set.ids(IDS_COLUMN, None)?)),
        };
        Ok(Self { from, carriage_returns: 0 })
    }

    /// What comes next; text is put in the place of `text`.
    pub(super) fn read(&mut self, text: &mut String) -> Result<Found, DataError> {
        let more = match &mut self.from {
            Open::Text(reader) => {
                return Ok(if reader.read(text)? { Found::Block } else { Found::End });
            }
            Open::Ids(_, rows) => {
                return Ok(rows.next().transpose()?.map_or(Found::End, Found::Ids));
            }
            Open::Jsonl(reader) => reader.read(text)?,
            Open::Texts(_, rows) => rows.next().transpose()?.map(|row| *text = row).is_some(),
        };
        if text.contains("\r\n") {
            self.carriage_returns += text.matches("\r\n").count() as u64;
            *text = text.replace("\r\n", "\n");
        }
        Ok(if more { Found::Record } else { Found::End })
    }

    /// Bytes read so far; of a dataset, all of its bytes.
    pub(super) fn bytes(&self) -> u64 {
        match &self.from {
            Open::Text(reader) => reader.bytes(),
            Open::Jsonl(reader) => reader.bytes(),
            Open::Texts(set, _) | Open::Ids(set, _) => {
                set.files().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
            }
        }
    }

    /// The hash of what was read, once all was.
    pub(super) fn hash(&self) -> Result<String, DataError> {
        Ok(match &self.from {
            Open::Text(reader) => reader.hash().to_hex().to_string(),
            Open::Jsonl(reader) => reader.hash().to_hex().to_string(),
            Open::Texts(set, _) | Open::Ids(set, _) => set.blake3()?,
        })
    }
}
