//! A disk in memory that can fail its N-th call and lose power: for tests of everything that must survive both.
//!
//! It keeps for every file what was written and what was `fsync`ed, and for every folder the names as they are
//! and the changes not yet `fsync`ed. [`SimulatedStorage::power_loss`] draws one of the states that a file system
//! may legally be in afterwards: any subset of the unsynced changes of a folder, in order, and for an unsynced
//! file its synced content, a part of the new one, the new one, or zeros. That is harsher than any journaling
//! file system, and so is a fair test of code that must run on all of them. The idea is SQLite's crash tests.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Entry, EntryKind, Storage, StorageFile};

/// What goes wrong at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No space left (ENOSPC); a write leaves half of its bytes.
    Full,
    /// The medium fails (EIO); a write leaves half of its bytes.
    Medium,
    /// A signal interrupts the call (EINTR); nothing is done.
    Interrupted,
    /// A write or read does half of what was asked and reports so; other calls are not affected.
    Short,
    /// The power fails: this call and all later ones fail. See [`SimulatedStorage::power_loss`].
    PowerLoss,
}

type Names = BTreeMap<OsString, usize>;

#[derive(Clone, Debug)]
enum Change {
    Add(OsString, usize),
    Remove(OsString),
    Rename(OsString, OsString, usize),
}

#[derive(Clone, Debug)]
enum Node {
    File { now: Vec<u8>, synced: Vec<u8> },
    Folder { now: Names, synced: Names, unsynced: Vec<Change> },
    Link,
}

impl Node {
    fn folder() -> Self {
        Self::Folder { now: Names::new(), synced: Names::new(), unsynced: Vec::new() }
    }
}

#[derive(Clone, Debug)]
struct State {
    nodes: Vec<Node>,
    calls: u64,
    fault: Option<(u64, Fault)>,
    fired: bool,
    dead: bool,
    capacity: u64,
}

/// The disk; clones share it.
#[derive(Clone, Debug)]
pub struct SimulatedStorage(Arc<Mutex<State>>);

impl Default for SimulatedStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl SimulatedStorage {
    /// An empty disk of 1 TB.
    #[must_use]
    pub fn new() -> Self {
        Self::with_state(vec![Node::folder()], 1_000_000_000_000)
    }

    fn with_state(nodes: Vec<Node>, capacity: u64) -> Self {
        let state = State { nodes, calls: 0, fault: None, fired: false, dead: false, capacity };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Sets the size of the disk, in bytes of file content.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// Lets the `n`-th call from now (0 is the next) go wrong.
    pub fn fail_call(&self, n: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.calls + n, fault));
        state.fired = false;
    }

    /// Takes a planned fault back; whether it had struck.
    pub fn clear_fault(&self) -> bool {
        let mut state = self.state();
        state.fault = None;
        state.fired
    }

    /// How many calls were made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// A copy that shares nothing with this disk.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// The disk as it may be found after a power cut at this moment; `seed` picks one of the possible states.
    #[must_use]
    pub fn power_loss(&self, seed: u64) -> Self {
        let state = self.state();
        let mut dice = Dice(seed);
        let nodes = state.nodes.iter().map(|node| after_power_loss(node, &mut dice)).collect();
        Self::with_state(nodes, state.capacity)
    }

    /// All regular files, with their content, sorted by path.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state();
        let mut found = Vec::new();
        let mut pending = vec![(PathBuf::from("/"), 0)];
        while let Some((path, index)) = pending.pop() {
            match &state.nodes[index] {
                Node::File { now, .. } => found.push((path, now.clone())),
                Node::Folder { now, .. } => {
                    pending.extend(now.iter().map(|(name, &inner)| (path.join(name), inner)));
                }
                Node::Link => {}
            }
        }
        found.sort();
        found
    }

    /// Changes a file's content behind everybody's back (a flipped bit, a cut end).
    ///
    /// # Panics
    /// When there is no such file.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let found = state.find(path).map(|index| &mut state.nodes[index]);
        let Ok(Node::File { now, synced }) = found else { panic!("no file {}", path.display()) };
        change(now);
        synced.clone_from(now);
    }

    /// Puts a symbolic link there, which nothing may follow.
    ///
    /// # Panics
    /// When the folder does not exist.
    pub fn plant_link(&self, path: &Path) {
        let mut state = self.state();
        let index = state.nodes.len();
        state.nodes.push(Node::Link);
        state.change_names(path, |name| Change::Add(name, index)).expect("the folder exists");
    }
}

/// SplitMix64: enough for drawing crash states.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % (n as u64)).unwrap_or(0)
    }
}

fn after_power_loss(node: &Node, dice: &mut Dice) -> Node {
    match node {
        Node::Link => Node::Link,
        Node::File { now, synced } if now == synced => node.clone(),
        Node::File { now, synced } => {
            let content = match dice.below(5) {
                0 => synced.clone(),
                1 => now.clone(),
                2 => now[..dice.below(now.len() + 1)].to_vec(),
                3 => vec![0; now.len()],
                _ => now
                    .chunks(16)
                    .flat_map(|c| if dice.below(2) == 0 { vec![0; c.len()] } else { c.to_vec() })
                    .collect(),
            };
            Node::File { now: content.clone(), synced: content }
        }
        Node::Folder { synced, unsynced, .. } => {
            let mut names = synced.clone();
            let mode = dice.below(4);
            for change in unsynced {
                // All, none, or any subset of the changes reached the medium.
                if mode == 0 || (mode > 1 && dice.below(2) == 0) {
                    apply(&mut names, change);
                }
            }
            Node::Folder { now: names.clone(), synced: names, unsynced: Vec::new() }
        }
    }
}

fn apply(names: &mut Names, change: &Change) {
    match change {
        Change::Add(name, index) => {
            names.insert(name.clone(), *index);
        }
        Change::Remove(name) => {
            names.remove(name);
        }
        Change::Rename(from, to, index) => {
            names.remove(from);
            names.insert(to.clone(), *index);
        }
    }
}

/// How a call goes on after the fault, if any, was looked at.
enum Turn {
    Whole,
    Half,
    HalfThenFail(ErrorKind),
}

impl State {
    /// Counts a call; an error is the planned one.
    fn turn(&mut self) -> io::Result<Turn> {
        let n = self.calls;
        self.calls += 1;
        if self.dead {
            return Err(io::Error::other("the power is off"));
        }
        match self.fault {
            Some((at, fault)) if at == n => {
                self.fired = true;
                match fault {
                    Fault::Full => Ok(Turn::HalfThenFail(ErrorKind::StorageFull)),
                    Fault::Medium => Ok(Turn::HalfThenFail(ErrorKind::Other)),
                    Fault::Interrupted => Err(ErrorKind::Interrupted.into()),
                    Fault::Short => Ok(Turn::Half),
                    Fault::PowerLoss => {
                        self.dead = true;
                        Ok(Turn::HalfThenFail(ErrorKind::Other))
                    }
                }
            }
            _ => Ok(Turn::Whole),
        }
    }

    /// [`State::turn`] for calls that cannot be done by halves.
    fn simple_turn(&mut self) -> io::Result<()> {
        match self.turn()? {
            Turn::HalfThenFail(kind) => Err(kind.into()),
            Turn::Whole | Turn::Half => Ok(()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut at = 0;
        for part in path.components() {
            match (part, &self.nodes[at]) {
                (Component::Normal(name), Node::Folder { now, .. }) => {
                    at = *now.get(name).ok_or(ErrorKind::NotFound)?;
                }
                (Component::Normal(_), _) => return Err(ErrorKind::NotADirectory.into()),
                _ => {}
            }
        }
        Ok(at)
    }

    fn folder(&self, path: &Path) -> io::Result<&Names> {
        match &self.nodes[self.find(path)?] {
            Node::Folder { now, .. } => Ok(now),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn change_names(
        &mut self,
        path: &Path,
        change: impl FnOnce(OsString) -> Change,
    ) -> io::Result<()> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
        let at = self.find(path.parent().unwrap_or(Path::new("")))?;
        let Node::Folder { now, unsynced, .. } = &mut self.nodes[at] else {
            return Err(ErrorKind::NotADirectory.into());
        };
        let change = change(name);
        apply(now, &change);
        unsynced.push(change);
        Ok(())
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let index = self.nodes.len();
        self.change_names(path, |name| Change::Add(name, index))?;
        self.nodes.push(node);
        Ok(index)
    }

    fn used(&self) -> u64 {
        let length =
            |node: &Node| if let Node::File { now, .. } = node { now.len() as u64 } else { 0 };
        // Removed files still count: a simulated disk is short-lived, and a test that fills it wants an upper bound.
        self.nodes.iter().map(length).sum()
    }
}

struct SimulatedFile {
    disk: SimulatedStorage,
    node: usize,
    /// Where the next read begins.
    position: usize,
}

impl Write for SimulatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let turn = state.turn()?;
        let room =
            usize::try_from(state.capacity.saturating_sub(state.used())).unwrap_or(usize::MAX);
        let wanted = match turn {
            Turn::Whole => bytes.len(),
            Turn::Half | Turn::HalfThenFail(_) => bytes.len().div_ceil(2),
        };
        let written = wanted.min(room);
        let Node::File { now, .. } = &mut state.nodes[self.node] else {
            return Err(ErrorKind::IsADirectory.into());
        };
        now.extend_from_slice(&bytes[..written]);
        match turn {
            Turn::HalfThenFail(kind) => Err(kind.into()),
            _ if written == 0 && !bytes.is_empty() => Err(ErrorKind::StorageFull.into()),
            _ => Ok(written),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for SimulatedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let limit = match state.turn()? {
            Turn::Whole => buffer.len(),
            Turn::Half => buffer.len().div_ceil(2),
            Turn::HalfThenFail(kind) => return Err(kind.into()),
        };
        let Node::File { now, .. } = &state.nodes[self.node] else {
            return Err(ErrorKind::IsADirectory.into());
        };
        let rest = &now[self.position.min(now.len())..];
        let n = rest.len().min(limit);
        buffer[..n].copy_from_slice(&rest[..n]);
        self.position += n;
        Ok(n)
    }
}

impl StorageFile for SimulatedFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.simple_turn()?;
        if let Node::File { now, synced } = &mut state.nodes[self.node] {
            synced.clone_from(now);
        }
        Ok(())
    }
}

impl SimulatedStorage {
    fn file(&self, node: usize) -> SimulatedFile {
        SimulatedFile { disk: self.clone(), node, position: 0 }
    }

    fn open_for_writing(&self, path: &Path, cut: bool) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.state();
        state.simple_turn()?;
        let node = match state.find(path) {
            Ok(index) => match &mut state.nodes[index] {
                Node::File { now, .. } => {
                    if cut {
                        now.clear();
                    }
                    index
                }
                _ => return Err(ErrorKind::IsADirectory.into()),
            },
            Err(_) => state.add(path, Node::File { now: Vec::new(), synced: Vec::new() })?,
        };
        Ok(Box::new(self.file(node)))
    }
}

impl Storage for SimulatedStorage {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.open_for_writing(path, true)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.open_for_writing(path, false)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let mut state = self.state();
        state.simple_turn()?;
        let node = state.find(path)?;
        Ok(Box::new(self.file(node)))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.simple_turn()?;
        if state.find(path).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.add(path, Node::folder()).map(|_| ())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.simple_turn()?;
        if from.parent() != to.parent() {
            return Err(ErrorKind::CrossesDevices.into());
        }
        let node = state.find(from)?;
        if let Ok(target) = state.find(to) {
            match (&state.nodes[node], &state.nodes[target]) {
                (_, Node::Folder { now, .. }) if !now.is_empty() => {
                    return Err(ErrorKind::DirectoryNotEmpty.into());
                }
                (Node::Folder { .. }, Node::Folder { .. })
                | (Node::File { .. }, Node::File { .. }) => {}
                _ => return Err(ErrorKind::NotADirectory.into()),
            }
        }
        let new = to.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
        state.change_names(from, |old| Change::Rename(old, new, node))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.simple_turn()?;
        let at = state.find(path)?;
        if let Node::Folder { now, synced, unsynced } = &mut state.nodes[at] {
            synced.clone_from(now);
            unsynced.clear();
        }
        Ok(())
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        let mut state = self.state();
        state.simple_turn()?;
        let at = state.find(path)?;
        Ok(match &state.nodes[at] {
            Node::File { now, .. } => Entry { kind: EntryKind::File, length: now.len() as u64 },
            Node::Folder { .. } => Entry { kind: EntryKind::Folder, length: 0 },
            Node::Link => Entry { kind: EntryKind::Link, length: 0 },
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let mut state = self.state();
        state.simple_turn()?;
        Ok(state.folder(path)?.keys().cloned().collect())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.simple_turn()?;
        let at = state.find(path)?;
        if matches!(state.nodes[at], Node::Folder { .. }) {
            return Err(ErrorKind::IsADirectory.into());
        }
        state.change_names(path, Change::Remove)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.simple_turn()?;
        if !state.folder(path)?.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        state.change_names(path, Change::Remove)
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        let mut state = self.state();
        state.simple_turn()?;
        state.find(path)?;
        Ok(state.capacity.saturating_sub(state.used()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Disk, StorageError};

    fn put(disk: &Disk, path: &str, bytes: &[u8]) -> Result<(), StorageError> {
        disk.write_file(Path::new(path), |out| {
            out.write_all(bytes)
                .map_err(|e| StorageError::new(super::super::Operation::Write, Path::new(path), e))
        })
        .map(|_| ())
    }

    #[test]
    fn test_power_loss__a_synced_file_with_a_synced_name_survives_every_state() {
        let storage = SimulatedStorage::new();
        let disk = Disk::new(storage.clone());
        put(&disk, "/a", b"kept").expect("no fault is planned");
        disk.sync_folder(Path::new("/")).expect("no fault is planned");
        for seed in 0..200 {
            assert_eq!(storage.power_loss(seed).files(), [(PathBuf::from("/a"), b"kept".to_vec())]);
        }
    }

    #[test]
    fn test_power_loss__an_unsynced_file_or_name_is_lost_in_some_state() {
        let storage = SimulatedStorage::new();
        let disk = Disk::new(storage.clone());
        let mut file = storage.create(Path::new("/torn")).expect("no fault is planned");
        file.write_all(&[7; 100]).expect("no fault is planned");
        disk.sync_folder(Path::new("/")).expect("no fault is planned");
        put(&disk, "/unnamed", b"x").expect("no fault is planned");
        let states: Vec<_> = (0..200).map(|seed| storage.power_loss(seed).files()).collect();
        assert!(states.iter().any(|files| files.len() == 1));
        assert!(states.iter().any(|files| files[0].1 == vec![0; 100]));
        assert!(states.iter().any(|files| files[0].1.len() < 100));
    }

    #[test]
    fn test_disk__interrupted_and_short_calls_leave_no_trace() {
        let content: Vec<u8> = (0..=255).collect();
        for fault in [Fault::Interrupted, Fault::Short] {
            for n in 0.. {
                let storage = SimulatedStorage::new();
                let disk = Disk::new(storage.clone());
                storage.fail_call(n, fault);
                disk.replace_file(Path::new("/a"), "t", &content).expect("such faults are mended");
                assert_eq!(disk.read(Path::new("/a"), 1000).expect("just written"), content);
                if !storage.clear_fault() {
                    break;
                }
            }
        }
    }

    #[test]
    fn test_disk__replace_file_keeps_the_old_content_whatever_call_fails() {
        for fault in [Fault::Full, Fault::Medium] {
            for n in 0.. {
                let storage = SimulatedStorage::new();
                let disk = Disk::new(storage.clone());
                put(&disk, "/a", b"old").expect("no fault is planned yet");
                storage.fail_call(n, fault);
                let outcome = disk.replace_file(Path::new("/a"), "t", b"new");
                let fired = storage.clear_fault();
                let content = disk.read(Path::new("/a"), 10).expect("always there");
                assert!(content == b"new" || (outcome.is_err() && content == b"old"));
                assert!(!fired || outcome.is_err(), "call {n} failed and nobody said so");
                assert_eq!(storage.files().len(), 1, "a temporary file stays behind");
                if !fired {
                    break;
                }
            }
        }
    }

    #[test]
    fn test_disk__replace_file_is_all_or_nothing_after_a_power_cut() {
        for n in 0..20 {
            for seed in 0..40 {
                let storage = SimulatedStorage::new();
                let disk = Disk::new(storage.clone());
                put(&disk, "/a", b"old").expect("no fault is planned yet");
                disk.sync_folder(Path::new("/")).expect("no fault is planned yet");
                storage.fail_call(n, Fault::PowerLoss);
                let outcome = disk.replace_file(Path::new("/a"), "t", b"new");
                let after = Disk::new(storage.power_loss(seed));
                let content = after.read(Path::new("/a"), 10).expect("one of the two is there");
                assert!(content == b"new" || (outcome.is_err() && content == b"old"));
            }
        }
    }

    #[test]
    fn test_disk__a_full_disk_is_named_with_both_figures() {
        let storage = SimulatedStorage::new();
        storage.set_capacity(1000);
        let error = put(&Disk::new(storage), "/big", &[0; 5000]).expect_err("it does not fit");
        assert_eq!((error.wanted, error.free), (Some(5000), Some(0)));
    }
}
