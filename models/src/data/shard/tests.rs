use super::*;

fn format(vocab_size: usize, length: usize) -> Format {
    Format { vocab_size, length, tokenizer: [7; 32], key: [9; 32] }
}

/// Writes rows and gives the list of shards.
fn write(folder: &Path, format: Format, rows: &[Vec<u32>], shard_chunks: usize) -> Vec<ShardInfo> {
    let mut writer = ShardWriter::new(folder, Split::Train, format);
    writer.shard_chunks = shard_chunks;
    for row in rows {
        let starts: Vec<bool> = row.iter().map(|id| id % 3 == 0).collect();
        writer.push(row, &starts).unwrap();
    }
    writer.finish().unwrap()
}

fn open(folder: &Path, infos: &[ShardInfo], format: Format) -> Result<Vec<Shard>, DataError> {
    let mut first = 0;
    infos
        .iter()
        .map(|info| {
            let shard = Shard::open(folder, info, format, first)?;
            first += info.chunks;
            Ok(shard)
        })
        .collect()
}

/// D6: ids at both edges of two bytes.
#[test]
fn test_shard__ids_survive_at_every_width() {
    for vocab_size in [2_usize, 65_535, 65_536, 65_537, 119_547, 1 << 24] {
        let top = u32::try_from(vocab_size - 1).unwrap();
        let rows = vec![vec![0, top, top / 2, 1], vec![top, top, 0, top], vec![1, top]];
        let folder = tempfile::tempdir().unwrap();
        let infos = write(folder.path(), format(vocab_size, 4), &rows, 2);
        assert_eq!(infos.len(), 2);
        let width = if vocab_size <= 65_536 { 2 } else { 4 };
        let bytes = std::fs::read(folder.path().join(&infos[0].file)).unwrap();
        assert_eq!(bytes.len(), HEADER + 8 * width + 1 + 2 * 4 + DIGEST);
        let shards = open(folder.path(), &infos, format(vocab_size, 4)).unwrap();
        let read: Vec<Chunk> = shards
            .iter()
            .flat_map(|shard| (0..shard.ends.len()).map(|i| shard.read(i).unwrap()))
            .collect();
        assert_eq!(read.iter().map(|chunk| chunk.ids.clone()).collect::<Vec<_>>(), rows);
        for chunk in read {
            let starts: Vec<bool> = chunk.ids.iter().map(|id| id % 3 == 0).collect();
            assert_eq!(chunk.word_starts, starts);
        }
    }
}

/// D5: an id at the edge of the vocabulary, in a file whose checksum is right.
#[test]
fn test_shard__ids_outside_the_vocabulary_are_refused() {
    for vocab_size in [100, 65_536, 70_000] {
        let folder = tempfile::tempdir().unwrap();
        let top = u32::try_from(vocab_size - 1).unwrap();
        let infos = write(folder.path(), format(vocab_size, 2), &[vec![0, top]], 9);
        assert!(open(folder.path(), &infos, format(vocab_size, 2)).is_ok());
        // The same file, said to be of a vocabulary that is one smaller.
        let smaller = format(vocab_size - 1, 2);
        if smaller.width() == format(vocab_size, 2).width() {
            let path = folder.path().join(&infos[0].file);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.truncate(bytes.len() - DIGEST);
            bytes[..HEADER].copy_from_slice(&header(&smaller, infos[0].tokens, 0, 1));
            let digest = blake3::hash(&bytes);
            bytes.extend_from_slice(digest.as_bytes());
            std::fs::write(&path, bytes).unwrap();
            let info = ShardInfo { blake3: digest.to_hex().to_string(), ..infos[0].clone() };
            let error = Shard::open(folder.path(), &info, smaller, 0).unwrap_err().to_string();
            assert!(error.contains(&format!("id {top}")), "{error}");
        }
    }
}

/// D7: every flipped bit and every truncation is found when the file is opened, and the file is named.
#[test]
fn test_shard__every_damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<Vec<u32>> =
        (0..20).map(|i| [i, i + 1, i * 2, 5][..1 + i as usize % 4].to_vec()).collect();
    let infos = write(folder.path(), format(50, 4), &rows, 100);
    let path = folder.path().join(&infos[0].file);
    let good = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = open(folder.path(), &infos, format(50, 4)).unwrap_err();
        assert!(matches!(&error, DataError::Damaged { path: named, .. } if *named == path));
        assert!(error.to_string().contains("preprocess-data CONFIG --force"), "{error}");
    };
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        refused(&bytes);
    }
    for length in 0..good.len() {
        refused(&good[..length]);
    }
    refused(&[good.as_slice(), &[0]].concat());
    std::fs::write(&path, &good).unwrap();
    assert!(open(folder.path(), &infos, format(50, 4)).is_ok());
    std::fs::remove_file(&path).unwrap();
    assert!(open(folder.path(), &infos, format(50, 4)).is_err());
}

/// D7: a file that is cut while it is in use is an error and no signal.
#[test]
fn test_shard__truncated_while_open() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<Vec<u32>> = (0..500).map(|i| vec![i % 50; 16]).collect();
    let infos = write(folder.path(), format(50, 16), &rows, 1000);
    let shards = open(folder.path(), &infos, format(50, 16)).unwrap();
    assert!(shards[0].read(499).is_ok());
    let path = folder.path().join(&infos[0].file);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(200).unwrap();
    assert!(matches!(shards[0].read(499), Err(DataError::Damaged { .. })));
}

/// Shards that are swapped, or of other data, are found out by their headers.
#[test]
fn test_shard__swapped_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<Vec<u32>> = (0..4).map(|i| vec![i; 4]).collect();
    let mut infos = write(folder.path(), format(50, 4), &rows, 2);
    let name = infos[0].file.clone();
    infos[0].file = infos[1].file.clone();
    infos[1].file = name;
    assert!(open(folder.path(), &infos, format(50, 4)).is_err());
    let other = Format { tokenizer: [8; 32], ..format(50, 4) };
    assert!(open(folder.path(), &infos, other).is_err());
}
