//! The chunk cache: one folder per dataset, named by the hash of everything that decides its content.
//!
//! A folder holds the shards and `dataset.json`: the account of the data, the list of the shards, and a checksum of
//! itself. It is written under another name and renamed when complete, so a folder with the right name is whole; if two
//! processes make the same one, either's is kept. A damaged folder is an error that names the file and says how to mend
//! it: disks that lose bits are something a user should know about, so nothing is repaired in silence.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shard::{Chunk, Format, Shard, ShardInfo};
use super::{DataError, DataLedger, Split};
use crate::tokenizer::Tokenizer;

/// The name of the list of a folder.
pub(super) const LIST: &str = "dataset.json";

/// What `dataset.json` holds, besides its checksum.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct List {
    pub(super) key: String,
    pub(super) ledger: DataLedger,
    pub(super) shards: Vec<(Split, Vec<ShardInfo>)>,
}

impl List {
    /// The file: the content and its hash.
    pub(super) fn to_json(&self) -> Result<String, serde_json::Error> {
        let content = serde_json::to_value(self)?;
        let checksum = blake3::hash(content.to_string().as_bytes()).to_hex().to_string();
        Ok(serde_json::json!({ "checksum": checksum, "content": content }).to_string())
    }

    fn from_json(text: &str) -> Result<Self, String> {
        let mut file: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let content = file["content"].take();
        if file["checksum"] != blake3::hash(content.to_string().as_bytes()).to_hex().as_str() {
            return Err("its checksum does not match its content".into());
        }
        serde_json::from_value(content).map_err(|error| error.to_string())
    }
}

/// The chunks of one split, in the order of the corpus, read from disk when asked for.
#[derive(Debug)]
pub struct ChunkStore {
    split: Split,
    shards: Vec<Shard>,
    /// The first chunk of each shard.
    firsts: Vec<u64>,
    chunks: u64,
    tokens: u64,
    length: usize,
    vocab_size: usize,
}

impl ChunkStore {
    fn open(
        folder: &Path,
        split: Split,
        list: &[ShardInfo],
        format: Format,
    ) -> Result<Self, DataError> {
        let (mut shards, mut firsts, mut chunks, mut tokens) = (Vec::new(), Vec::new(), 0, 0);
        for info in list {
            let shard = Shard::open(folder, info, format, chunks)?;
            firsts.push(chunks);
            chunks += info.chunks;
            tokens += info.tokens;
            shards.push(shard);
        }
        let Format { length, vocab_size, .. } = format;
        Ok(Self { split, shards, firsts, chunks, tokens, length, vocab_size })
    }

    /// What the text is for.
    #[must_use]
    pub fn split(&self) -> Split {
        self.split
    }

    /// The number of chunks; their ids are `0 .. len`.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.chunks
    }

    /// Whether there is no chunk.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks == 0
    }

    /// Tokens in all chunks.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// T: no chunk has more tokens, and a full one has as many.
    #[must_use]
    pub fn chunk_length(&self) -> usize {
        self.length
    }

    /// Every id is below this.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Reads chunk `id`. Threads may read at the same time.
    ///
    /// # Errors
    /// A file that has been damaged since it was opened, and an id that is not below [`len`](Self::len).
    pub fn chunk(&self, id: u64) -> Result<Chunk, DataError> {
        let shard = self.firsts.partition_point(|first| *first <= id).saturating_sub(1);
        match (self.shards.get(shard), self.firsts.get(shard)) {
            (Some(data), Some(first)) if id < self.chunks => {
                data.read(usize::try_from(id - first).unwrap_or(usize::MAX))
            }
            _ => Err(DataError::Option {
                field: "chunk",
                reason: format!("{id} asked for, and the {} text has {}", self.split, self.chunks),
            }),
        }
    }
}

/// A prepared dataset.
#[derive(Clone, Debug)]
pub struct Dataset {
    key: String,
    folder: PathBuf,
    ledger: DataLedger,
    stores: Vec<Arc<ChunkStore>>,
}

impl Dataset {
    /// Opens the folder `folder` of the cache, and verifies every byte of it.
    ///
    /// # Errors
    /// A damaged file, named.
    pub(super) fn open(folder: &Path, key: [u8; 32]) -> Result<Self, DataError> {
        let path = folder.join(LIST);
        let damaged = |reason: String| DataError::Damaged {
            path: path.clone(),
            reason,
            folder: folder.to_owned(),
        };
        let text = std::fs::read_to_string(&path).map_err(|error| damaged(error.to_string()))?;
        let List { key: written, ledger, shards } = List::from_json(&text).map_err(damaged)?;
        let name = blake3::Hash::from(key).to_hex().to_string();
        let tokenizer = blake3::Hash::from_hex(&ledger.tokenizer_hash)
            .map_err(|error| damaged(error.to_string()))?;
        if written != name {
            return Err(damaged("it belongs to other data".into()));
        }
        let format = Format {
            vocab_size: ledger.vocab_size,
            length: ledger.max_sequence_length,
            tokenizer: *tokenizer.as_bytes(),
            key,
        };
        let stores = shards
            .iter()
            .map(|(split, list)| ChunkStore::open(folder, *split, list, format).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self { key: name, folder: folder.to_owned(), ledger, stores })
    }

    /// The hash of everything that decides the content: corpus, tokenizer, options.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The account of the data.
    #[must_use]
    pub fn ledger(&self) -> &DataLedger {
        &self.ledger
    }

    /// The chunks of a split, if there is one.
    #[must_use]
    pub fn split(&self, split: Split) -> Option<&Arc<ChunkStore>> {
        self.stores.iter().find(|store| store.split == split)
    }

    /// Refuses a tokenizer other than the one that made the data.
    ///
    /// # Errors
    /// Both sizes and hashes.
    pub fn check_tokenizer(&self, tokenizer: &Tokenizer) -> Result<(), DataError> {
        let hash = tokenizer.hash().to_hex().to_string();
        if hash == self.ledger.tokenizer_hash && tokenizer.vocab_size() == self.ledger.vocab_size {
            return Ok(());
        }
        Err(DataError::OtherTokenizer {
            data_vocab: self.ledger.vocab_size,
            data_hash: self.ledger.tokenizer_hash.clone(),
            model_vocab: tokenizer.vocab_size(),
            model_hash: hash,
        })
    }
}
