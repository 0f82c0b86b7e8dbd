//! MANIFEST.json: what a checkpoint folder must contain, and what may be taken out of it.
//!
//! The manifest is written last, so a folder that has one was finished. It lists every file with its length and
//! BLAKE3 hash in two groups. `files` make a model and must all be there. `resume_files` (optimizer and trainer
//! state) are what training needs to go on; rotation removes them from older checkpoints by plain deletion. Since
//! the manifest allows for that, it never has to be rewritten, and a crash between two deletions leaves a folder
//! that is as valid as before and after: only no longer resumable.
//!
//! It holds no time, host or path, so the same run gives the same bytes wherever and however often it is run.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::storage::FileDigest;

/// The name of the manifest in its folder.
pub const MANIFEST_FILE: &str = "MANIFEST.json";
/// The version of the layout that this program writes and reads.
pub const FORMAT: u32 = 1;

/// Names a run in temporary names and manifests, so that nothing of another run is ever deleted.
/// The same configuration gives the same id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// The id of the run whose configuration has this fingerprint (any text).
    #[must_use]
    pub fn from_fingerprint(fingerprint: &str) -> Self {
        Self(blake3::hash(fingerprint.as_bytes()).to_hex()[..16].to_owned())
    }

    /// Sixteen hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RunId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // It becomes part of file names, so nothing else may come in.
        if text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text))
        } else {
            Err("a run id is 16 hexadecimal digits".to_owned())
        }
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a checkpoint was saved, which decides how long it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointKind {
    /// On the schedule (step 0 and the end included): its weights are never removed.
    Scheduled,
    /// For going on after an interruption: removed once a newer one has been verified.
    Rolling,
    /// The best validation loss so far: replaced by a better one.
    Best,
}

/// The content of MANIFEST.json.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the layout.
    pub format: u32,
    /// The run that wrote it.
    pub run_id: RunId,
    /// Optimizer steps that made these weights.
    pub global_step: u64,
    /// Why it was saved.
    pub kind: CheckpointKind,
    /// Files that make the model.
    pub files: BTreeMap<String, FileDigest>,
    /// Files that training needs to go on.
    pub resume_files: BTreeMap<String, FileDigest>,
    /// BLAKE3 of all the rest, so that damage to the manifest itself is seen.
    checksum: String,
}

impl Manifest {
    /// A manifest of the given files.
    #[must_use]
    pub fn new(
        run_id: RunId,
        global_step: u64,
        kind: CheckpointKind,
        files: BTreeMap<String, FileDigest>,
        resume_files: BTreeMap<String, FileDigest>,
    ) -> Self {
        let mut manifest = Self {
            format: FORMAT,
            run_id,
            global_step,
            kind,
            files,
            resume_files,
            checksum: String::new(),
        };
        manifest.checksum = blake3::hash(&manifest.to_bytes()).to_hex().to_string();
        manifest
    }

    /// The bytes of the file: always the same for the same manifest.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads a manifest; anything but the exact bytes that [`Manifest::to_bytes`] made is refused.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|e| format!("{MANIFEST_FILE} is damaged: {e}"))?;
        let Self { run_id, global_step, kind, files, resume_files, .. } = manifest.clone();
        if manifest.format != FORMAT {
            return Err(format!(
                "{MANIFEST_FILE} has format {}, and this program reads format {FORMAT}",
                manifest.format
            ));
        }
        if Self::new(run_id, global_step, kind, files, resume_files).to_bytes() != bytes {
            return Err(format!(
                "{MANIFEST_FILE} is damaged: its checksum does not fit its content"
            ));
        }
        if let Some(name) = manifest.names().find(|name| !is_plain_name(name)) {
            return Err(format!(
                "{MANIFEST_FILE} lists '{}', which is not a plain file name",
                name.escape_debug()
            ));
        }
        Ok(manifest)
    }

    /// All files that may be in the folder, the manifest aside.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().chain(self.resume_files.keys()).map(String::as_str)
    }

    /// The digest of a file of either group.
    #[must_use]
    pub fn digest(&self, name: &str) -> Option<&FileDigest> {
        self.files.get(name).or_else(|| self.resume_files.get(name))
    }
}

/// Whether a name can only mean a file in the folder at hand, on every operating system.
#[must_use]
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 100
        && !name.starts_with('.')
        && !name.ends_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let file = |name: &str| (name.to_owned(), FileDigest::of(name.as_bytes()));
        Manifest::new(
            RunId::from_fingerprint("config"),
            12,
            CheckpointKind::Scheduled,
            BTreeMap::from([file("model.safetensors"), file("config.json")]),
            BTreeMap::from([file("state.json")]),
        )
    }

    #[test]
    fn test_manifest__survives_a_round_trip() {
        let manifest = sample();
        assert_eq!(Manifest::from_bytes(&manifest.to_bytes()), Ok(manifest));
    }

    #[test]
    fn test_manifest__every_flipped_bit_and_every_cut_is_seen() {
        let bytes = sample().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::from_bytes(&damaged).is_err(), "bit {bit} flipped");
        }
        for n in 0..bytes.len() {
            assert!(Manifest::from_bytes(&bytes[..n]).is_err(), "cut at {n}");
        }
    }

    #[test]
    fn test_manifest__names_that_leave_the_folder_are_refused() {
        for name in ["../a", "/etc/passwd", "a/b", "a\\b", "", ".", "..", "a\n", "C:a", ".hidden"] {
            let files = BTreeMap::from([(name.to_owned(), FileDigest::of(b""))]);
            let run_id = RunId::from_fingerprint("x");
            let bytes = Manifest::new(run_id, 1, CheckpointKind::Rolling, files, BTreeMap::new())
                .to_bytes();
            assert!(Manifest::from_bytes(&bytes).is_err(), "{name:?} is accepted");
        }
    }

    #[test]
    fn test_run_id__only_hexadecimal_digits_are_read() {
        for text in
            ["", "../../../../etc/a", "0123456789ABCDEF", "0123456789abcde/", "0123456789abcdef0"]
        {
            assert!(serde_json::from_value::<RunId>(text.into()).is_err(), "{text:?} is accepted");
        }
        assert!(serde_json::from_value::<RunId>("0123456789abcdef".into()).is_ok());
    }
}
