//! Limits that a header must keep before it is parsed as a whole.
//!
//! A header may name a huge length, a million tensors, or the same tensor twice; the parser proper would follow it
//! into seconds of work and gigabytes of memory (a 99 MB header took 7 s and 1.4 GB), or quietly keep the last of two.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

/// The longest header that is looked at. The largest published models have some hundred kilobytes.
pub(super) const MAX_HEADER: u64 = 16 << 20;
/// The most tensors that a file may have.
pub(super) const MAX_TENSORS: usize = 65_536;

/// Checks the first bytes of a file of `file_length` bytes; the length of the header.
pub(super) fn check_length(prefix: &[u8], file_length: u64) -> Result<u64, String> {
    let Some(Ok(first)) = prefix.get(..8).map(<[u8; 8]>::try_from) else {
        return Err(format!("it has only {file_length} bytes"));
    };
    let length = u64::from_le_bytes(first);
    if length > MAX_HEADER {
        // Only now: 0x80 is also the first byte of a header of 128 bytes.
        if first.starts_with(b"PK") || first[0] == 0x80 {
            return Err("it is a pickle (.bin, .pt), which can run code when it is read and is never opened; \
                        convert it with safetensors.torch.save_file"
                .into());
        }
        return Err(format!("its header claims {length} bytes; at most {MAX_HEADER} are read"));
    }
    if length > file_length - 8 {
        return Err(format!(
            "its header claims {length} bytes, but the file has only {file_length}; it was cut off"
        ));
    }
    Ok(length)
}

/// Checks a header for the number of tensors and for names that come twice.
pub(super) fn check(header: &[u8]) -> Result<(), String> {
    // Each tensor is a JSON object, so there are at most as many as braces; counting them costs no memory.
    let braces = header.iter().filter(|&&b| b == b'{').count();
    if braces > MAX_TENSORS + 2 {
        return Err(format!(
            "its header lists about {braces} tensors; at most {MAX_TENSORS} are read"
        ));
    }
    let mut parser = serde_json::Deserializer::from_slice(header);
    parser.deserialize_map(UniqueKeys).map_err(|e| format!("its header is not valid: {e}"))
}

struct UniqueKeys;

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from tensor names to their descriptions")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<IgnoredAny>()?;
            if seen.contains(&name) {
                return Err(serde::de::Error::custom(format!(
                    "'{}' comes twice",
                    name.escape_debug()
                )));
            }
            seen.insert(name);
        }
        Ok(())
    }
}
