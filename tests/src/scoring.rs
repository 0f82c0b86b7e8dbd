//! Scoring at any size: known probabilities, memory, hostile files, and what files say of the machine (rows C5, C6, D1, D2, D10).

use crate::binary::Workplace;
use crate::durability::Dice;
use foundry_models::eval::selftest::selftest;
use foundry_models::machine::resident_bytes;
use foundry_models::tensors::TensorFile;
use std::fmt::Write;

/// C5: scoring finds every probability of models that were written as tables.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn oracles() -> String {
    let findings = selftest().expect("a tokenizer of one alphabet");
    let failed: Vec<_> = findings.iter().filter(|f| !f.ok()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let worst = |precision| {
        let errors = findings.iter().filter(|f| f.precision == precision).map(|f| f.error);
        errors.fold(0.0, f64::max)
    };
    format!(
        "{} comparisons; largest error {:.1e} in f64, {:.1e} in f32",
        findings.len(),
        worst("f64"),
        worst("f32")
    )
}

/// C6: scoring `large` times a text takes at most 1.3 times the memory of scoring it once; `bytes` is the text's size.
///
/// # Panics
/// If it takes more, or the system does not say.
#[must_use]
pub fn memory(bytes: usize, large: usize) -> String {
    let place = Workplace::new();
    let _ = place.foundry("train tiny.yaml").ok();
    let document = "--set data.unit=document --set data.validation_split=tail \
                    --set tokenizer.output_dir=runs/doc/tokenizer";
    let _ = place
        .foundry(&format!("train tiny.yaml --set training.output_dir=runs/doc {document}"))
        .ok();
    let mut text = String::with_capacity(bytes + 100);
    let mut dice = Dice(3);
    while text.len() < bytes {
        let (i, j) = (dice.below(1000), dice.below(13));
        let _ = writeln!(text, "the cat number {i} sat on mat {j} and saw dog {}", dice.below(5));
    }
    place.write("small.txt", text.as_bytes());
    place.write("large.txt", text.repeat(large).as_bytes());
    let mut report = Vec::new();
    for how in [
        "runs/tiny --perplexity",
        "runs/doc --perplexity",
        "runs/tiny --by-line --perplexity",
        "runs/tiny --tables out --json --surprisal",
    ] {
        let peak = |file| {
            let (ran, peak, _) = place.measured(&format!("evaluate {how} {file}"));
            let _ = ran.ok();
            peak
        };
        let (small, large) = (peak("small.txt"), peak("large.txt"));
        let (kib, ratio) = (large / 1024, large * 100 / small.max(1));
        assert!(ratio <= 130, "{how}: {small} bytes, then {large}");
        report.push(format!("{how}: {kib} KiB, {}.{:02} times", ratio / 100, ratio % 100));
    }
    report.join("; ")
}

/// D1: files that hold a pickle are refused, whatever they are called, with the way to convert them.
///
/// # Panics
/// If one is read.
#[must_use]
pub fn pickles() -> String {
    let zip = b"PK\x03\x04\x00\x00archive/data.pkl\x80\x02c__builtin__\nexec\n".to_vec();
    let bare = b"\x80\x02cposix\nsystem\nX\x0b\x00\x00\x00touch owned\x85R.".to_vec();
    let old = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    let place = Workplace::new();
    let mut refused = 0;
    for (i, content) in [zip, bare, old].into_iter().enumerate() {
        let read = TensorFile::from_bytes(content.clone(), "model.safetensors");
        assert!(read.is_err(), "pickle {i} was read as tensors");
        for ending in ["pt", "bin", "pth", "pkl"] {
            let name = format!("model{i}.{ending}");
            place.write(&name, &content);
            let ran = place.foundry(&format!("evaluate {name} --perplexity corpus.txt")).ended(3);
            let _ = ran.says(&["pickle", "safetensors", &name]);
            refused += 1;
        }
    }
    assert!(!place.path("owned").exists());
    format!("{refused} files refused, none executed")
}

/// D2: files of tensors with anything in their headers are read or refused, never a panic, in bounded memory.
///
/// # Panics
/// If not.
#[must_use]
pub fn hostile_tensors(executions: u64) -> String {
    const PARTS: [&str; 24] = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"a\"",
        "\"dtype\"",
        "\"F32\"",
        "\"F64\"",
        "\"shape\"",
        "\"data_offsets\"",
        "0",
        "4",
        "8",
        "-1",
        "1e9",
        "4294967296",
        "18446744073709551615",
        "null",
        "\"__metadata__\"",
        "\"\\u0000\"",
        "2",
        "\"U8\"",
    ];
    let sound = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}"#;
    let mut dice = Dice(11);
    let (mut read, mut refused) = (0_u64, 0_u64);
    for i in 0..executions {
        let mut header = sound.as_bytes().to_vec();
        for _ in 0..=dice.below(4) {
            let at = usize::try_from(dice.below(header.len() as u64)).unwrap_or(0);
            match dice.below(4) {
                0 => header[at] ^= 1 << dice.below(8),
                1 => header.truncate(at.max(1)),
                2 => {
                    let part = PARTS[usize::try_from(dice.below(24)).unwrap_or(0)];
                    header.splice(at..at, part.bytes());
                }
                _ => {
                    let until =
                        (at + 1 + usize::try_from(dice.below(9)).unwrap_or(0)).min(header.len());
                    header.drain(at..until);
                }
            }
            if header.is_empty() {
                header.push(b'{');
            }
        }
        let length = if i % 7 == 0 { dice.below(u64::MAX) } else { header.len() as u64 };
        let mut file = length.to_le_bytes().to_vec();
        file.extend(header);
        file.resize(file.len() + usize::try_from(dice.below(12)).unwrap_or(0), 0);
        match TensorFile::from_bytes(file, "hostile") {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    let resident = resident_bytes().unwrap_or(0);
    assert!(resident < 256 << 20, "{resident} bytes");
    format!("{read} read, {refused} refused, {} MiB", resident >> 20)
}

/// D10: the files of a run, and of its scores, name no place of this machine.
///
/// # Panics
/// If one does.
#[must_use]
pub fn no_places() -> String {
    let place = Workplace::new();
    let _ = place.foundry("train tiny.yaml").ok();
    let _ = place.foundry("evaluate runs/tiny --perplexity corpus.txt --tables out").ok();
    let here = place.folder().to_str().expect("a folder with a name").to_owned();
    let mut count = 0;
    for folder in ["runs", ".foundry", "out"] {
        for (path, content) in place.files(folder) {
            let text = String::from_utf8_lossy(&content);
            for secret in [here.as_str(), "/home/", "/root/", "/tmp/", "HOSTNAME", "PATH="] {
                assert!(!text.contains(secret), "{}: {secret}", path.display());
            }
            count += 1;
        }
    }
    format!("{count} files")
}
