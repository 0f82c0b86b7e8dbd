//! Where tests find public data that is not part of the project.

use std::path::PathBuf;

/// A file or folder of `../shared/data` beside the workspace, or of `FOUNDRY_DATA`; nothing, said aloud, without it.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os("FOUNDRY_DATA").map_or_else(beside, PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: data not there ({name})");
    None
}
