//! Reading safetensors files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;

use bytemuck::{AnyBitPattern, pod_collect_to_vec};
use safetensors::SafeTensors;

use super::{ElementType, TensorFileError, header};
use crate::storage::{Disk, Operation, StorageError};

struct Held {
    dtype: ElementType,
    shape: Vec<usize>,
    range: Range<usize>,
}

/// A safetensors file whose every tensor waits to be taken by name, type and shape.
pub struct TensorFile {
    file: String,
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Held>,
    waiting: BTreeSet<String>,
    metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// Reads a file. Its header is bounded before anything else of it is read.
    ///
    /// # Errors
    /// [`TensorFileError::Storage`] or [`TensorFileError::Malformed`].
    pub fn read(disk: &Disk, path: &Path) -> Result<Self, TensorFileError> {
        let file = path.display().to_string();
        let malformed = |reason| TensorFileError::Malformed { file: file.clone(), reason };
        let mut source = disk.open(path)?;
        let mut read = |into: &mut Vec<u8>, n: u64| {
            std::io::Read::read_to_end(&mut std::io::Read::take(&mut *source, n), into)
                .map_err(|e| StorageError::new(Operation::Read, path, e))
        };
        let mut bytes = Vec::new();
        read(&mut bytes, 8)?;
        if bytes.len() == 8 {
            // The real length is known at the end; here the header's own claim is bounded.
            let claimed = header::check_length(&bytes, u64::MAX).map_err(malformed)?;
            read(&mut bytes, claimed)?;
            if bytes.len() as u64 == 8 + claimed {
                header::check(&bytes[8..]).map_err(malformed)?;
            }
            read(&mut bytes, u64::MAX)?;
        }
        Self::from_bytes(bytes, &file)
    }

    /// Takes over the content of a file; `file` is what errors call it.
    ///
    /// # Errors
    /// [`TensorFileError::Malformed`].
    pub fn from_bytes(bytes: Vec<u8>, file: &str) -> Result<Self, TensorFileError> {
        let malformed =
            |reason: String| TensorFileError::Malformed { file: file.to_owned(), reason };
        let length = header::check_length(&bytes, bytes.len() as u64).map_err(malformed)?;
        let start = usize::try_from(length).map_or(bytes.len(), |n| n + 8).min(bytes.len());
        header::check(&bytes[8..start]).map_err(malformed)?;
        let (_, parsed) =
            SafeTensors::read_metadata(&bytes).map_err(|e| malformed(e.to_string()))?;
        let held = |info: &safetensors::tensor::TensorInfo| Held {
            dtype: info.dtype,
            shape: info.shape.clone(),
            range: start + info.data_offsets.0..start + info.data_offsets.1,
        };
        let tensors: BTreeMap<String, Held> =
            parsed.tensors().into_iter().map(|(name, info)| (name, held(info))).collect();
        let metadata = parsed.metadata().clone().unwrap_or_else(HashMap::new).into_iter().collect();
        let waiting = tensors.keys().cloned().collect();
        Ok(Self { file: file.to_owned(), bytes, tensors, waiting, metadata })
    }

    /// The file's own notes.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Every tensor's name, type and shape, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, ElementType, &[usize])> {
        self.tensors.iter().map(|(name, held)| (name.as_str(), held.dtype, &held.shape[..]))
    }

    /// The shape of a tensor, or `None` when it is not there.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|held| &held.shape[..])
    }

    /// Takes a tensor's elements as little-endian bytes.
    ///
    /// # Errors
    /// [`TensorFileError::Missing`], [`TensorFileError::Type`] or [`TensorFileError::Shape`].
    pub fn take(
        &mut self,
        name: &str,
        dtype: ElementType,
        shape: &[usize],
    ) -> Result<&[u8], TensorFileError> {
        let (file, name_owned) = (self.file.clone(), name.to_owned());
        let Some(held) = self.tensors.get(name) else {
            return Err(TensorFileError::Missing {
                file,
                name: name_owned,
                hint: self.similar(name),
            });
        };
        if held.shape != shape {
            let (expected, found) = (shape.to_vec(), held.shape.clone());
            return Err(TensorFileError::Shape { file, name: name_owned, expected, found });
        }
        if held.dtype != dtype {
            return Err(TensorFileError::Type {
                file,
                name: name_owned,
                expected: dtype,
                found: held.dtype,
            });
        }
        self.waiting.remove(name);
        Ok(self.bytes.get(held.range.clone()).unwrap_or_default())
    }

    /// Takes a single-precision tensor.
    ///
    /// # Errors
    /// As [`TensorFile::take`].
    pub fn take_f32(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TensorFileError> {
        self.take(name, ElementType::F32, shape).map(elements)
    }

    /// Takes a double-precision tensor.
    ///
    /// # Errors
    /// As [`TensorFile::take`].
    pub fn take_f64(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f64>, TensorFileError> {
        self.take(name, ElementType::F64, shape).map(elements)
    }

    /// Takes a tensor of whole numbers.
    ///
    /// # Errors
    /// As [`TensorFile::take`].
    pub fn take_u32(&mut self, name: &str, shape: &[usize]) -> Result<Vec<u32>, TensorFileError> {
        self.take(name, ElementType::U32, shape).map(elements)
    }

    /// Passes over a tensor that the model has no use for (an old mask buffer, say); whether it was there.
    pub fn skip(&mut self, name: &str) -> bool {
        self.waiting.remove(name)
    }

    /// The names that nothing has taken yet.
    pub fn waiting(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(String::as_str)
    }

    /// To be called when everything was taken: what is left over belongs to another model.
    ///
    /// # Errors
    /// [`TensorFileError::Leftover`].
    pub fn finish(self) -> Result<(), TensorFileError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        Err(TensorFileError::Leftover {
            file: self.file,
            names: self.waiting.into_iter().collect(),
        })
    }

    fn similar(&self, name: &str) -> String {
        let score = |candidate: &&String| strsim::normalized_levenshtein(candidate, name);
        let best = self.tensors.keys().max_by(|a, b| score(a).total_cmp(&score(b)));
        match best.filter(|candidate| score(candidate) > 0.7) {
            Some(candidate) => format!(" (there is '{candidate}')"),
            None => String::new(),
        }
    }
}

/// Elements out of bytes that may lie unaligned.
fn elements<T: AnyBitPattern + bytemuck::NoUninit>(bytes: &[u8]) -> Vec<T> {
    pod_collect_to_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::{HostTensor, write};
    use super::*;
    use crate::storage::simulated::SimulatedStorage;

    fn sample() -> Vec<u8> {
        let (w, b, ids) = ([1.0f32, -2.5, 3.25, 4.0, 5.0, 6.0], [0.5f64, 0.25], [3u32]);
        let tensors = [
            HostTensor::f32("h.0.weight", &[2, 3], &w),
            HostTensor::f64("h.0.bias", &[2], &b),
            HostTensor::u32("step", &[], &ids),
        ];
        let mut out = Vec::new();
        write(&mut out, &tensors, &BTreeMap::new()).expect("finite and consistent");
        out
    }

    fn raw(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    #[test]
    fn test_tensor_file__gives_back_what_was_written() {
        let mut file = TensorFile::from_bytes(sample(), "f").expect("well formed");
        assert_eq!(file.metadata()["format"], "pt");
        assert_eq!(
            file.take_f32("h.0.weight", &[2, 3]).expect("there"),
            [1.0, -2.5, 3.25, 4.0, 5.0, 6.0]
        );
        assert_eq!(file.take_f64("h.0.bias", &[2]).expect("there"), [0.5, 0.25]);
        assert_eq!(file.take_u32("step", &[]).expect("there"), [3]);
        file.finish().expect("all taken");
    }

    #[test]
    fn test_tensor_file__lookups_that_do_not_fit_are_named() {
        let mut file = TensorFile::from_bytes(sample(), "f").expect("well formed");
        let missing = file.take_f32("h.0.weights", &[2, 3]).expect_err("not there").to_string();
        assert!(
            missing.contains("'h.0.weights'") && missing.contains("there is 'h.0.weight'"),
            "{missing}"
        );
        let shape = file.take_f32("h.0.weight", &[3, 2]).expect_err("other shape").to_string();
        assert!(shape.contains("[2, 3]") && shape.contains("[3, 2]"), "{shape}");
        let dtype = file.take_f32("h.0.bias", &[2]).expect_err("other type").to_string();
        assert!(dtype.contains("F64") && dtype.contains("F32"), "{dtype}");
        assert!(file.skip("step"));
        let leftover = file.finish().expect_err("two were not taken").to_string();
        assert!(leftover.contains("2 tensors") && leftover.contains("'h.0.bias'"), "{leftover}");
    }

    #[test]
    fn test_tensor_file__hostile_headers_are_refused() {
        let one = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        let twice = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
        let overlap = r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#;
        let gap = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}"#;
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("empty file", vec![]),
            ("seven bytes", vec![0; 7]),
            ("zip, a pickle of torch", b"PK\x03\x04aaaaaaaaaaaa".to_vec()),
            ("bare pickle", b"\x80\x02}q\x00.aaaaaaaaa".to_vec()),
            ("length of all ones", vec![0xff; 64]),
            ("length beyond the file", raw("{}", 0)[..9].to_vec()),
            ("not UTF-8", raw("\u{0}", 0)),
            ("no JSON", raw("hello", 0)),
            ("a list", raw("[]", 0)),
            ("nested too deep", raw(&"[".repeat(100_000), 0)),
            ("missing offsets", raw(r#"{"a":{"dtype":"F32","shape":[1]}}"#, 4)),
            ("unknown type", raw(&one("F31", "[1]", "[0,4]"), 4)),
            ("inverted offsets", raw(&one("U8", "[1]", "[1,0]"), 1)),
            ("offsets beyond the file", raw(&one("U8", "[9]", "[0,9]"), 4)),
            ("offsets do not start at 0", raw(&one("U8", "[1]", "[1,2]"), 2)),
            ("shape and offsets disagree", raw(&one("F32", "[2]", "[0,4]"), 4)),
            ("product of the shape wraps", raw(&one("F32", "[4294967296,4294967296]", "[0,0]"), 0)),
            ("bytes of the shape wrap", raw(&one("F64", "[2305843009213693952]", "[0,0]"), 0)),
            ("negative extent", raw(&one("U8", "[-1]", "[0,1]"), 1)),
            ("three offsets", raw(&one("U8", "[1]", "[0,1,2]"), 1)),
            ("trailing bytes", raw(&one("U8", "[1]", "[0,1]"), 2)),
            ("the same name twice", raw(twice, 1)),
            ("overlapping tensors", raw(overlap, 3)),
            ("a gap between tensors", raw(gap, 3)),
        ];
        for (what, bytes) in cases {
            match TensorFile::from_bytes(bytes, "f") {
                Err(TensorFileError::Malformed { reason, .. }) => assert!(!reason.is_empty()),
                Err(other) => panic!("{what}: {other}"),
                Ok(_) => panic!("{what}: accepted"),
            }
        }
    }

    #[test]
    fn test_tensor_file__header_lengths_that_look_like_a_pickle_are_read() {
        for length in [0x80, 0x280, 0x4b50] {
            let header =
                format!("{:length$}", r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#);
            assert!(TensorFile::from_bytes(raw(&header, 1), "f").is_ok(), "{length}");
        }
    }

    #[test]
    fn test_tensor_file__pickles_are_called_by_their_name() {
        for bytes in [&b"PK\x03\x04aaaaaaaaaaaa"[..], b"\x80\x02}q\x00.aaaaaaaaa"] {
            let error =
                TensorFile::from_bytes(bytes.to_vec(), "f").err().expect("refused").to_string();
            assert!(error.contains("pickle") && error.contains("save_file"), "{error}");
        }
    }

    #[test]
    fn test_tensor_file__a_million_tensors_are_refused_before_they_are_parsed() {
        let entry = r#":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;
        let header: Vec<String> =
            (0..header::MAX_TENSORS + 10).map(|i| format!("\"{i}\"{entry}")).collect();
        let bytes = raw(&format!("{{{}}}", header.join(",")), 0);
        let error = TensorFile::from_bytes(bytes, "f").err().expect("too many").to_string();
        assert!(error.contains("at most 65536"), "{error}");
    }

    #[test]
    fn test_tensor_file__a_huge_header_is_refused_before_it_is_read() {
        let disk = Disk::new(SimulatedStorage::new());
        let path = Path::new("/big.safetensors");
        let mut bytes = (header::MAX_HEADER + 1).to_le_bytes().to_vec();
        bytes.resize(1000, b' ');
        disk.replace_file(path, "t", &bytes).expect("room enough");
        let error = TensorFile::read(&disk, path).err().expect("too long").to_string();
        assert!(error.contains("at most 16777216"), "{error}");
    }

    #[test]
    fn test_tensor_file__every_cut_is_refused_and_no_flip_panics() {
        let whole = sample();
        for n in 0..whole.len() {
            assert!(
                TensorFile::from_bytes(whole[..n].to_vec(), "f").is_err(),
                "cut at {n} is accepted"
            );
        }
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // A flip in the elements is for the manifest's checksum to find; here nothing may panic.
            let _ = TensorFile::from_bytes(bytes, "f")
                .map(|mut f| f.take_f32("h.0.weight", &[2, 3]).is_ok());
        }
    }
}
