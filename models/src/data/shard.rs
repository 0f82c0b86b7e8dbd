//! A shard: up to four million token ids in one checksummed file.
//!
//! ```text
//! magic "fndryids" | version u32 | id width u32 | vocabulary u64 | chunk length u64 | tokens u64 | first chunk u64
//! | chunks u64 | tokenizer hash 32 | dataset key 32
//! | ids (u16 or u32) | a bit a token: a word starts in it | where each chunk ends (u32, in tokens) | blake3 of all before 32
//! ```
//!
//! Numbers are little-endian. Chunks may be of any length up to the one of the header. The width is two bytes where the largest id fits (vocabularies up to 65,536), else four.
//! A shard is verified when it is opened: its length, the hash over every byte, every id against the vocabulary, and the
//! ends of the chunks.
//! Later reads are positional (nothing is mapped, so a file that is cut while it is read is an error and no signal) and
//! check their ids once more.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::{DataError, Split};

const MAGIC: &[u8; 8] = b"fndryids";
const VERSION: u32 = 2;
const HEADER: usize = 120;
const DIGEST: usize = 32;

/// Tokens in a shard, about.
const SHARD_TOKENS: usize = 1 << 22;

/// The longest chunk.
pub(super) const MAX_LENGTH: usize = 1 << 20;

/// A chunk of tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Token ids.
    pub ids: Vec<u32>,
    /// For each token, whether a word starts in it.
    pub word_starts: Vec<bool>,
}

/// What all shards of a dataset share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) vocab_size: usize,
    pub(super) length: usize,
    pub(super) tokenizer: [u8; 32],
    pub(super) key: [u8; 32],
}

impl Format {
    /// Bytes of an id on disk: by the largest id, `vocab_size - 1`.
    fn width(&self) -> usize {
        if self.vocab_size <= 1 << 16 { 2 } else { 4 }
    }
}

/// A shard as the list of a dataset names it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct ShardInfo {
    pub(super) file: String,
    pub(super) chunks: u64,
    pub(super) tokens: u64,
    /// The last 32 bytes of the file.
    pub(super) blake3: String,
}

/// Writes the shards of a split into a folder.
#[derive(Debug)]
pub(super) struct ShardWriter {
    folder: PathBuf,
    split: Split,
    format: Format,
    shard_chunks: usize,
    /// Chunks in full shards before this one.
    before: u64,
    /// Where each chunk of this shard ends.
    ends: Vec<u32>,
    ids: Vec<u8>,
    word_starts: Vec<bool>,
    shards: Vec<ShardInfo>,
}

impl ShardWriter {
    pub(super) fn new(folder: &Path, split: Split, format: Format) -> Self {
        Self {
            folder: folder.to_owned(),
            split,
            format,
            shard_chunks: (SHARD_TOKENS / format.length).max(1),
            before: 0,
            ends: Vec::new(),
            ids: Vec::new(),
            word_starts: Vec::new(),
            shards: Vec::new(),
        }
    }

    /// Adds a chunk of at least one token and at most as many as the format says.
    pub(super) fn push(&mut self, ids: &[u32], word_starts: &[bool]) -> Result<(), DataError> {
        debug_assert!((1..=self.format.length).contains(&ids.len()));
        for id in ids {
            debug_assert!((*id as usize) < self.format.vocab_size);
            self.ids.extend_from_slice(&id.to_le_bytes()[..self.format.width()]);
        }
        self.word_starts.extend_from_slice(word_starts);
        // At most four million tokens and the chunk that went beyond them.
        self.ends.push(u32::try_from(self.word_starts.len()).unwrap_or(u32::MAX));
        if self.ends.len() == self.shard_chunks { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), DataError> {
        let tokens = self.word_starts.len();
        let chunks = self.ends.len() as u64;
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&header(&self.format, tokens as u64, self.before, chunks));
        bytes.append(&mut self.ids);
        for eight in self.word_starts.chunks(8) {
            bytes.push(eight.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
        }
        self.ends.drain(..).for_each(|end| bytes.extend_from_slice(&end.to_le_bytes()));
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());

        let file = format!("{}-{:05}.ids", self.split.name(), self.shards.len());
        let path = self.folder.join(&file);
        let failed = |source| DataError::Write { path: path.clone(), source };
        let mut out = File::create_new(&path).map_err(failed)?;
        out.write_all(&bytes).map_err(failed)?;
        out.sync_all().map_err(failed)?;
        self.shards.push(ShardInfo {
            file,
            chunks,
            tokens: tokens as u64,
            blake3: digest.to_hex().to_string(),
        });
        self.before += chunks;
        self.word_starts.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<ShardInfo>, DataError> {
        if !self.ends.is_empty() {
            self.flush()?;
        }
        Ok(self.shards)
    }
}

/// The header, written and, for comparison, made again by the reader.
fn header(format: &Format, tokens: u64, first_chunk: u64, chunks: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    let width = if format.width() == 2 { 2_u32 } else { 4 };
    let parts: [&[u8]; 10] = [
        MAGIC,
        &VERSION.to_le_bytes(),
        &width.to_le_bytes(),
        &(format.vocab_size as u64).to_le_bytes(),
        &(format.length as u64).to_le_bytes(),
        &tokens.to_le_bytes(),
        &first_chunk.to_le_bytes(),
        &chunks.to_le_bytes(),
        &format.tokenizer,
        &format.key,
    ];
    let mut at = 0;
    for part in parts {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    bytes
}

/// An open, verified shard.
#[derive(Debug)]
pub(super) struct Shard {
    file: Positional,
    path: PathBuf,
    folder: PathBuf,
    format: Format,
    tokens: usize,
    /// Where each chunk ends, in tokens.
    ends: Vec<u32>,
}

impl Shard {
    /// Opens and verifies; `first_chunk` is the number of chunks in the shards before.
    pub(super) fn open(
        folder: &Path,
        info: &ShardInfo,
        format: Format,
        first_chunk: u64,
    ) -> Result<Self, DataError> {
        let path = folder.join(&info.file);
        let damaged = |reason: String| DataError::Damaged {
            path: path.clone(),
            reason,
            folder: folder.to_owned(),
        };
        let unreadable = |error: std::io::Error| damaged(error.to_string());
        let mut file = File::open(&path).map_err(unreadable)?;
        let width = format.width();
        let sizes = usize::try_from(info.tokens).ok().zip(usize::try_from(info.chunks).ok());
        let length = sizes.and_then(|(tokens, chunks)| {
            let ids = tokens.checked_mul(width)?.checked_add(tokens.div_ceil(8))?;
            let all = ids.checked_add(chunks.checked_mul(4)?)?.checked_add(HEADER + DIGEST)?;
            Some((tokens, chunks, all))
        });
        let (tokens, chunks, length) =
            length.ok_or_else(|| damaged("its size is absurd".into()))?;
        let found = file.metadata().map_err(unreadable)?.len();
        if found != length as u64 {
            return Err(damaged(format!("it has {found} bytes and should have {length}")));
        }

        let mut start = [0; HEADER];
        file.read_exact(&mut start).map_err(unreadable)?;
        if start != header(&format, info.tokens, first_chunk, info.chunks) {
            return Err(damaged("its header is another than was written".into()));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&start);
        let mut block = vec![0; 1 << 16];
        let (mut left, mut ids_left) = (tokens * width + tokens.div_ceil(8), tokens * width);
        while left > 0 {
            let part = &mut block[..left.min(1 << 16)];
            file.read_exact(part).map_err(unreadable)?;
            hasher.update(part);
            // A block is a whole number of ids: its size is a multiple of four.
            let (ids, _) = part.split_at(ids_left.min(part.len()));
            if let Some(id) = decode(ids, width).find(|id| *id as usize >= format.vocab_size) {
                return Err(damaged(outside(id, format.vocab_size)));
            }
            ids_left -= ids.len();
            left -= part.len();
        }
        let mut ends = vec![0; chunks * 4];
        file.read_exact(&mut ends).map_err(unreadable)?;
        hasher.update(&ends);
        let mut digest = [0; DIGEST];
        file.read_exact(&mut digest).map_err(unreadable)?;
        let computed = hasher.finalize();
        if computed != blake3::Hash::from(digest) || computed.to_hex().as_str() != info.blake3 {
            return Err(damaged("its checksum does not match its content".into()));
        }
        let ends: Vec<u32> = decode(&ends, 4).collect();
        let mut begin = 0;
        for end in ends.iter().map(|end| *end as usize) {
            if !(begin + 1..=begin + format.length).contains(&end) {
                return Err(damaged(format!("a chunk goes from token {begin} to {end}")));
            }
            begin = end;
        }
        if begin != tokens {
            return Err(damaged(format!("its chunks have {begin} of its {tokens} tokens")));
        }
        let (file, folder) = (Positional::new(file), folder.to_owned());
        Ok(Self { file, path, folder, format, tokens, ends })
    }

    /// Reads chunk `index` of this shard.
    pub(super) fn read(&self, index: usize) -> Result<Chunk, DataError> {
        let width = self.format.width();
        let end = |chunk: usize| self.ends.get(chunk).map_or(self.tokens, |end| *end as usize);
        let begin = index.checked_sub(1).map_or(0, end);
        let count = end(index) - begin;
        let damaged = |reason: String| DataError::Damaged {
            path: self.path.clone(),
            reason,
            folder: self.folder.clone(),
        };
        let mut bytes = vec![0; count * width];
        let at = (HEADER + begin * width) as u64;
        self.file.read_at(&mut bytes, at).map_err(|error| damaged(error.to_string()))?;
        let ids: Vec<u32> = decode(&bytes, width).collect();
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.format.vocab_size) {
            return Err(damaged(outside(*id, self.format.vocab_size)));
        }
        let first = begin / 8;
        let mut bits = vec![0; (begin + count).div_ceil(8) - first];
        let at = (HEADER + self.tokens * width + first) as u64;
        self.file.read_at(&mut bits, at).map_err(|error| damaged(error.to_string()))?;
        let bit = |i: usize| bits.get(i / 8 - first).is_some_and(|byte| byte >> (i % 8) & 1 == 1);
        Ok(Chunk { ids, word_starts: (begin..begin + count).map(bit).collect() })
    }
}

fn outside(id: u32, vocab_size: usize) -> String {
    format!("it holds the token id {id}, and the vocabulary has {vocab_size} tokens")
}

fn decode(bytes: &[u8], width: usize) -> impl Iterator<Item = u32> + '_ {
    bytes.chunks_exact(width).map(|id| {
        let mut four = [0; 4];
        four[..id.len()].copy_from_slice(id);
        u32::from_le_bytes(four)
    })
}

/// A file that several threads read at places of their own.
#[derive(Debug)]
struct Positional {
    #[cfg(unix)]
    file: File,
    #[cfg(not(unix))]
    file: std::sync::Mutex<File>,
}

impl Positional {
    #[cfg(unix)]
    fn new(file: File) -> Self {
        Self { file }
    }

    #[cfg(unix)]
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, offset)
    }

    #[cfg(not(unix))]
    fn new(file: File) -> Self {
        Self { file: std::sync::Mutex::new(file) }
    }

    #[cfg(not(unix))]
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
        use std::io::{Seek, SeekFrom};
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }
}

#[cfg(test)]
mod tests;
