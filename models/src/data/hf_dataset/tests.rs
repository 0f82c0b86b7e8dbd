use std::fs;

use super::*;
use crate::test_data::data;

fn open(name: &str) -> Option<HfDataset> {
    Some(HfDataset::open(&data("hf-datasets")?.join(name)).unwrap())
}

fn all_ids(dataset: &HfDataset) -> Result<Vec<Vec<u32>>, HfDatasetError> {
    dataset.ids("input_ids", None)?.collect()
}

#[test]
fn test_hf_dataset__counts_and_sums_are_those_of_the_python_library() {
    let Some(path) = data("hf-datasets/expected.json") else { return };
    let expected: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let vocabulary = expected["char_vocab"].as_object().unwrap();
    for (name, rows) in expected["n_rows"].as_object().unwrap() {
        let dataset = open(name).unwrap();
        assert_eq!(dataset.rows(), rows.as_u64().unwrap(), "{name}");
        let ids = all_ids(&dataset).unwrap();
        assert_eq!(ids.len() as u64, dataset.rows());
        if name == "chunked_int32" {
            assert!(ids.iter().all(|row| row.len() == 64));
        } else {
            let sum: u64 = ids.iter().flatten().map(|&id| u64::from(id)).sum();
            assert_eq!(sum, expected["sum_ids"].as_u64().unwrap(), "{name}");
        }
    }
    // The same rows were stored as 64-bit and as 16-bit numbers, and the latter beside their text.
    let (wide, narrow) = (open("tokenized_int64").unwrap(), open("text_uint16_3shards").unwrap());
    let ids = all_ids(&wide).unwrap();
    assert_eq!(ids, all_ids(&narrow).unwrap());
    for (text, ids) in narrow.texts("text").unwrap().zip(&ids) {
        let expected: Vec<u32> = text
            .unwrap()
            .chars()
            .map(|c| u32::try_from(vocabulary[&c.to_string()].as_u64().unwrap()).unwrap())
            .collect();
        assert_eq!(*ids, expected);
    }
    assert_eq!(narrow.files().count(), 3);
    assert_eq!(narrow.columns().collect::<Vec<_>>(), ["text", "input_ids"]);
}

#[test]
fn test_hf_dataset__the_fixtures_of_another_writer_are_read() {
    let expected = fs::read_to_string(fixture("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    for (name, facts) in expected.as_object().unwrap() {
        let dataset = HfDataset::open(&fixture(name)).unwrap();
        let rows = all_ids(&dataset).unwrap();
        let sum: u64 = rows.iter().flatten().map(|&id| u64::from(id)).sum();
        let longest = rows.iter().map(Vec::len).max();
        let tokens: usize = rows.iter().map(Vec::len).sum();
        let found = serde_json::json!({
            "rows": dataset.rows(), "tokens": tokens, "longest": longest, "sum_ids": sum
        });
        assert_eq!(found, *facts, "{name}");
        assert_eq!(rows.len() as u64, dataset.rows());
    }
    let edges = all_ids(&HfDataset::open(&fixture("edge_cases")).unwrap()).unwrap();
    assert_eq!((edges[0].len(), &edges[1][..], edges[2].len()), (0, &[7][..], 128));
    assert_eq!(edges[4], [0, 65_534, 65_535, 65_536, 65_537]);
    let pairs = HfDataset::open(&fixture("text_and_ids")).unwrap();
    for (text, ids) in pairs.texts("text").unwrap().zip(pairs.ids("input_ids", Some(26)).unwrap()) {
        let letters: Vec<u32> = text.unwrap().bytes().map(|b| u32::from(b - b'a')).collect();
        assert_eq!(letters, ids.unwrap());
    }
}

#[test]
fn test_hf_dataset__edge_cases_keep_their_lengths() {
    let Some(dataset) = open("edge_cases") else { return };
    let lengths: Vec<usize> = all_ids(&dataset).unwrap().iter().map(Vec::len).collect();
    assert!(lengths.contains(&0) && lengths.contains(&1), "{lengths:?}");
    assert_eq!(lengths.len() as u64, dataset.rows());
}

#[test]
fn test_hf_dataset__columns_and_vocabulary_are_checked() {
    let Some(dataset) = open("text_uint16_3shards") else { return };
    let error = dataset.ids("ids", None).map(drop).unwrap_err().to_string();
    assert!(
        error.contains(
            "no column 'ids' of lists of ids; it has 'text' (text), 'input_ids' (lists of ids)"
        ),
        "{error}"
    );
    assert!(dataset.ids("text", None).is_err() && dataset.texts("input_ids").is_err());
    assert!(dataset.ids("input_ids", Some(61)).unwrap().all(|row| row.is_ok()));
    let mut rows = dataset.ids("input_ids", Some(60)).unwrap();
    let error = rows.find_map(Result::err).unwrap().to_string();
    assert!(error.contains("id 60 is outside the vocabulary of 60 tokens"), "{error}");
    assert!(rows.next().is_none());
}

/// A copy of a dataset whose one data file is damaged.
fn damaged(original: &Path, bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(original.join("state.json"), folder.path().join("state.json")).unwrap();
    fs::write(folder.path().join("data-00000-of-00001.arrow"), bytes).unwrap();
    folder
}

/// A committed dataset, which is there in every clone.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/datasets").join(name)
}

fn read_everything(folder: &Path) -> Result<usize, HfDatasetError> {
    let dataset = HfDataset::open(folder)?;
    let names: Vec<String> = dataset.columns().map(str::to_owned).collect();
    let mut count = 0;
    for name in names {
        for row in dataset.ids(&name, None)? {
            count += row?.len();
        }
    }
    Ok(count)
}

#[test]
fn test_d7__a_file_cut_off_anywhere_is_an_error() {
    for (name, places) in [("edge_cases", 400), ("sequences", 100)] {
        let original = fixture(name);
        let bytes = fs::read(original.join("data-00000-of-00001.arrow")).unwrap();
        let step = bytes.len().div_ceil(places);
        for length in (0..bytes.len()).step_by(step).chain(bytes.len() - 9..bytes.len()) {
            let folder = damaged(&original, &bytes[..length]);
            let error = HfDataset::open(folder.path()).map(drop).unwrap_err();
            assert!(
                matches!(error, HfDatasetError::Damaged { .. }),
                "{name} cut at {length}: {error}"
            );
        }
        let folder = damaged(&original, &[bytes.as_slice(), b"x"].concat());
        assert!(HfDataset::open(folder.path()).is_err());
    }
}

#[test]
fn test_d7__flipped_bits_are_errors_or_other_ids_and_never_a_panic() {
    let original = fixture("edge_cases");
    let bytes = fs::read(original.join("data-00000-of-00001.arrow")).unwrap();
    let folder = damaged(&original, &bytes);
    let whole = read_everything(folder.path()).unwrap();
    let (mut refused, mut read) = (0, 0);
    // Every bit of the headers and of the beginning of the body, then one of every byte.
    let every = 8 * 600;
    for bit in (0..every).chain((every..8 * bytes.len()).step_by(9)) {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(folder.path().join("data-00000-of-00001.arrow"), &bytes).unwrap();
        match read_everything(folder.path()) {
            Ok(count) => {
                // Offsets still cover what they did, or ids were dropped at the end of the last row.
                assert!(count <= whole, "bit {bit}");
                read += 1;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(refused > 500 && read > 500, "{refused} refused, {read} read");
}

#[test]
fn test_d5__a_negative_id_is_an_error_that_names_its_row() {
    let original = fixture("edge_cases");
    let mut bytes = fs::read(original.join("data-00000-of-00001.arrow")).unwrap();
    let largest = i32::MAX.to_le_bytes();
    let at = bytes.windows(4).position(|window| window == largest).unwrap();
    bytes[at..at + 4].copy_from_slice(&(-3_i32).to_le_bytes());
    let folder = damaged(&original, &bytes);
    let error = read_everything(folder.path()).unwrap_err().to_string();
    assert!(error.contains("row 5") && error.contains("-3 is no token id"), "{error}");
}

#[test]
fn test_d7__a_file_that_shrinks_while_it_is_read_is_an_error() {
    let original = fixture("sequences");
    let bytes = fs::read(original.join("data-00000-of-00001.arrow")).unwrap();
    let folder = damaged(&original, &bytes);
    let dataset = HfDataset::open(folder.path()).unwrap();
    let mut rows = dataset.ids("input_ids", None).unwrap();
    assert!(rows.next().unwrap().is_ok());
    let file = fs::OpenOptions::new().write(true).open(dataset.files().next().unwrap()).unwrap();
    file.set_len(bytes.len() as u64 * 3 / 4).unwrap();
    let error = rows.find_map(Result::err).unwrap();
    assert!(
        matches!(error, HfDatasetError::Read { .. } | HfDatasetError::Damaged { .. }),
        "{error}"
    );
}

#[test]
fn test_d8__state_names_nothing_outside_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let message = |state: &str| {
        fs::write(folder.path().join("state.json"), state).unwrap();
        HfDataset::open(folder.path()).map(drop).unwrap_err().to_string()
    };
    for name in ["../x.arrow", "/etc/passwd", "a/b.arrow", "..", "", "a\\\\b", "x\\u0000"] {
        let message = message(&format!("{{\"_data_files\": [{{\"filename\": \"{name}\"}}]}}"));
        assert!(message.contains("names the file"), "{name}: {message}");
    }
    assert!(message("{").contains("state.json is damaged"));
    assert!(message("{}").contains("names no data files"));
    assert!(message("{\"_indices_files\": [1]}").contains("flatten_indices"));
    fs::write(folder.path().join("dataset_dict.json"), "{}").unwrap();
    assert!(message("{}").contains("several splits"));
    let nowhere = HfDataset::open(&folder.path().join("nowhere")).map(drop).unwrap_err();
    assert!(nowhere.to_string().contains("no folder") && nowhere.exit_code() == 3);
}

#[test]
fn test_flatbuffer__hostile_offsets_are_malformed() {
    use super::flatbuffer::Table;
    // A root that leads nowhere, a vtable before the bytes, a vtable that is too long, a vector of 2^32 - 1 elements.
    for bytes in [
        &[][..],
        &[255; 4],
        &[4, 0, 0, 0, 255, 255, 255, 127],
        &[4, 0, 0, 0, 0, 0, 0, 128],
        &[4, 0, 0, 0, 252, 255, 255, 255, 200, 0],
    ] {
        assert!(Table::root(bytes).is_err(), "{bytes:?}");
    }
    let vector = [
        10, 0, 0, 0, // root at 10
        6, 0, 8, 0, 4, 0, // vtable at 4: 6 bytes, table of 8, field 0 at +4
        6, 0, 0, 0, // back to the vtable
        4, 0, 0, 0, // field 0: the vector is 4 bytes on
        255, 255, 255, 255, // its length
    ];
    let table = Table::root(&vector).unwrap();
    assert!(
        table.vector(0, 16).is_err() && table.vector(0, 1).is_err() && table.string(0).is_err()
    );
    assert!(table.vector(1, 16).unwrap().pair(0).is_err());
}
