//! The invariants of docs/ARCHITECTURE.md that can be read off the source.

use foundry_engine::ops;
use foundry_tests::workspace;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// A file of the project: its path from the top, with slashes, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(workspace().join(path));
        Self { path: path.to_owned(), text: text.unwrap_or_else(|e| panic!("{path}: {e}")) }
    }

    /// The lines, numbered from 1, without what follows `//`.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = |line| str::split_once(line, "//").map_or(line, |(code, _)| code);
        (1..).zip(self.text.lines().map(code))
    }
}

const CRATES: [&str; 6] = ["kernels", "engine", "models", "cli", "tests", "benches"];

/// The files of these folders whose names have one of these endings, sorted.
fn files(folders: &[&str], extensions: &[&str]) -> Vec<File> {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                let path = path.strip_prefix(workspace()).unwrap().components();
                let parts: Vec<_> = path.map(|c| c.as_os_str().to_string_lossy()).collect();
                found.push(parts.join("/"));
            }
        }
    }
    let mut found = Vec::new();
    folders.iter().for_each(|folder| walk(&workspace().join(folder), &mut found));
    found.retain(|path| extensions.iter().any(|e| path.ends_with(&format!(".{e}"))));
    found.sort();
    found.iter().map(|path| File::read(path)).collect()
}

fn rust_files(folders: &[&str]) -> Vec<File> {
    let files = files(folders, &["rs"]);
    assert!(!files.is_empty(), "{folders:?}");
    files
}

/// Whether `word` stands in `code` on its own.
fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word)
}

/// The crates of the workspace that a crate uses, tests included.
fn dependencies(manifest: &str) -> BTreeSet<&str> {
    let of_foundry = |line| str::strip_prefix(line, "foundry-");
    let names = manifest.lines().filter_map(of_foundry);
    names.filter_map(|line| line.split(['.', ' ', '=']).next()).collect()
}

#[test]
fn test_house__dependencies_go_one_way() {
    let allowed = [
        ("kernels", vec![]),
        ("engine", vec!["kernels"]),
        ("models", vec!["engine"]),
        ("cli", vec!["engine", "models"]),
        ("tests", vec!["cuda-standin", "engine", "kernels", "models"]),
        // The emulator knows nothing of what it runs; its tests run the kernels.
        ("tests/ptx-emu", vec!["kernels"]),
        ("tests/cuda-standin", vec!["ptx-emu"]),
        ("benches", vec!["engine", "kernels", "models", "ptx-emu"]),
    ];
    for (folder, allowed) in allowed {
        let manifest = File::read(&format!("{folder}/Cargo.toml"));
        let used = dependencies(&manifest.text);
        let allowed = BTreeSet::from_iter(allowed);
        assert!(used.is_subset(&allowed), "{folder} uses {used:?}, may use {allowed:?}");
    }
    let engine = File::read("engine/Cargo.toml").text;
    assert_eq!(dependencies(&engine), BTreeSet::from(["kernels"]), "the test reads manifests");
}

#[test]
fn test_house__only_kernels_may_be_unsafe() {
    let roots = |path: &str| {
        path.ends_with("src/lib.rs")
            || path.ends_with("src/main.rs")
            || path.contains("/src/bin/")
            || path.starts_with("benches/benches/")
            || path == "tests/all/main.rs"
    };
    for file in rust_files(&["engine", "models", "cli", "tests", "benches"]) {
        // It exports the functions of a C library.
        let is_library_of_c = file.path == "tests/cuda-standin/src/lib.rs";
        if roots(&file.path) && !is_library_of_c {
            let forbids = file.code().any(|(_, code)| code == "#![forbid(unsafe_code)]");
            assert!(forbids, "{} begins with #![forbid(unsafe_code)]", file.path);
        }
    }
}

/// The lines on which an unsafe block or impl has no word on why it is safe.
fn without_safety(file: &File) -> Vec<usize> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut missing = Vec::new();
    for (number, code) in file.code() {
        if !["unsafe {", "unsafe impl"].iter().any(|u| code.contains(u)) {
            continue;
        }
        // Up over the beginning of the statement and attributes to the comment, and over that.
        let above = lines[..number - 1].iter().rev().map(|l| l.trim());
        let is_comment = |l: &&str| l.starts_with("//");
        let to_comment = above.skip_while(|l| {
            !l.is_empty() && !is_comment(l) && !l.ends_with(['{', '}', ';']) && !l.ends_with("},")
        });
        let mut comment = to_comment.take_while(is_comment);
        if !comment.any(|l| l.starts_with("// SAFETY:")) {
            missing.push(number);
        }
    }
    missing
}

#[test]
fn test_house__every_unsafe_says_why_it_is_safe() {
    let mut seen = 0;
    for file in rust_files(&["kernels", "tests/cuda-standin"]) {
        let missing = without_safety(&file);
        assert!(missing.is_empty(), "{}: no // SAFETY: at lines {missing:?}", file.path);
        seen += file.code().filter(|(_, code)| has_word(code, "unsafe")).count();
    }
    assert!(seen > 0);
    let text = "// SAFETY: it is.\nlet x =\n    unsafe { f() };\nlet y = unsafe { g() };\n";
    let file = File { path: String::new(), text: text.to_owned() };
    assert_eq!(without_safety(&file), [4], "the test sees what is missing");
}

/// Where work may be split over threads besides par.rs, and why that keeps the order of float sums.
const PARALLEL: [(&str, &str); 6] = [
    ("kernels/src/cpu/par.rs", "the one place that splits arithmetic"),
    ("models/src/data/build.rs", "tokenizes documents, collected in order"),
    ("models/src/tokenizer/mod.rs", "tokenizes texts, collected in order"),
    (
        "models/src/tokenizer/unigram/em.rs",
        "losses of fixed groups of pieces, each written to its place",
    ),
    (
        "models/src/tokenizer/unigram/lattice.rs",
        "fixed groups of words, their sums combined in order",
    ),
    ("models/src/tokenizer/unigram/seed.rs", "a sort of integers"),
];

#[test]
fn test_house__work_is_split_in_one_place() {
    let parallel = ["par_iter", "into_par_iter", "par_iter_mut", "par_chunks", "par_chunks_mut"];
    let splits = |code: &str| {
        has_word(code, "prelude") && has_word(code, "rayon")
            || parallel.iter().any(|p| has_word(code, p))
            || ["join", "scope", "spawn"].iter().any(|f| code.contains(&format!("rayon::{f}")))
    };
    let mut found = BTreeSet::new();
    for file in rust_files(&["kernels/src", "engine/src", "models/src", "cli/src"]) {
        if file.code().any(|(_, code)| splits(code)) {
            found.insert(file.path);
        }
    }
    let declared = PARALLEL.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(found, declared, "files that split work over threads");
    for (path, _) in &PARALLEL[1..] {
        let text = File::read(path).text;
        for statement in text.split("par_iter()").skip(1) {
            let statement = statement.split(';').next().unwrap_or_default();
            for reduction in [".sum", ".reduce", ".fold", ".product"] {
                assert!(!statement.contains(reduction), "{path}: {reduction} after par_iter");
            }
        }
    }
}

#[test]
fn test_house__models_name_no_device_and_ops_have_no_match_on_it() {
    for file in rust_files(&["models/src", "engine/src/ops"]) {
        for (line, code) in file.code() {
            let variant = ["Device::Cpu", "Device::Cuda"].iter().any(|v| code.contains(v));
            assert!(!variant, "{}:{line}: {code}", file.path);
        }
    }
}

#[test]
fn test_house__kernels_and_engine_read_no_file() {
    for file in rust_files(&["kernels/src", "engine/src"]) {
        for (line, code) in file.code() {
            let reads = code.contains("std::fs") || has_word(code, "File");
            assert!(!reads, "{}:{line}: {code}", file.path);
            let tensor = file.path.starts_with("kernels") && has_word(code, "Tensor");
            assert!(!tensor, "{}:{line}: a kernel sees slices: {code}", file.path);
        }
    }
}

#[test]
fn test_house__files_that_documents_name_exist() {
    let mut seen = 0;
    for document in ["CONTRIBUTING.md", "docs/ARCHITECTURE.md", "README.md"] {
        let text = File::read(document).text;
        let words = text.split(|c: char| c.is_whitespace() || "`()[],;".contains(c));
        let is_path = |word: &&str| {
            let rust = word.contains('/') && word.ends_with(".rs");
            rust || CRATES.iter().chain(&["configs", "docs"]).any(|c| {
                word.strip_prefix(c).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
            })
        };
        for path in words.filter(is_path) {
            let path = path.trim_end_matches(['.', ':']);
            // A pipeline of one crate leaves out where it lies.
            let places = [workspace().join(path), workspace().join("models/src").join(path)];
            assert!(places.iter().any(|p| p.exists()), "{document} names {path}");
            seen += 1;
        }
        let folder = workspace().join(document);
        let folder = folder.parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            assert!(
                file.is_empty() || file.contains("://") || folder.join(file).exists(),
                "{document} links to {link}"
            );
        }
    }
    assert!(seen > 10, "{seen} paths");
}

#[test]
fn test_house__nothing_is_left_for_later() {
    // Written apart, so that this file does not hold them.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let calls = [concat!("#[", "ignore"), concat!("to", "do!("), concat!("unimplem", "ented!(")];
    let folders = [&CRATES[..], &["configs", "docs", ".ci"]].concat();
    let mut files = files(&folders, &["rs", "md", "toml", "yaml", "py", "run"]);
    files.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Cargo.toml"].map(File::read));
    for file in files {
        for (line, text) in (1..).zip(file.text.lines()) {
            let left = words.iter().any(|w| has_word(text, w));
            assert!(
                !left && !calls.iter().any(|c| text.contains(c)),
                "{}:{line}: {text}",
                file.path
            );
        }
    }
}

/// The strings that `name` of an op may return: those between `fn name` and the next function.
fn op_names(text: &str) -> BTreeSet<String> {
    let differentiable: BTreeSet<&str> = text
        .split("impl Differentiable for ")
        .skip(1)
        .filter_map(|t| t.split(' ').next())
        .collect();
    let mut names = BTreeSet::new();
    for implementation in text.split("\nimpl Op for ").skip(1) {
        let op = implementation.split(' ').next().unwrap_or_default();
        let body = implementation.split("fn ").find(|f| f.starts_with("name(")).unwrap_or_default();
        if differentiable.contains(op) {
            names.extend(body.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    names
}

#[test]
fn test_house__every_differentiable_op_is_in_the_registry() {
    let ops_files = rust_files(&["engine/src/ops"]);
    let written: BTreeSet<String> = ops_files.iter().flat_map(|f| op_names(&f.text)).collect();
    let listed: Vec<String> = ops::ALL.iter().map(|op| op.name.to_owned()).collect();
    assert_eq!(written, listed.iter().cloned().collect(), "written, and listed in ops::ALL");
    assert!(listed.is_sorted_by(|a, b| a < b), "ops::ALL is in alphabetical order, each op once");
    for op in ops::ALL {
        assert!(!(op.cases)().is_empty(), "{} has cases", op.name);
    }
    // A gradient written elsewhere would escape the registry.
    for file in rust_files(&["engine/src", "models/src"]) {
        let elsewhere = !file.path.starts_with("engine/src/ops/");
        let mut code = file.code();
        let differentiable = code.any(|(_, code)| code.starts_with("impl Differentiable for"));
        assert!(!(elsewhere && differentiable), "{} holds an op", file.path);
    }
}

#[test]
fn test_house__the_top_level_is_what_the_architecture_says() {
    let files = Command::new("git").args(["ls-files"]).current_dir(workspace()).output();
    let Some(files) = files.ok().filter(|out| out.status.success()) else {
        eprintln!("skipped: not a git checkout");
        return;
    };
    let files = String::from_utf8(files.stdout).unwrap();
    let top = files.lines().filter_map(|path| path.split('/').next());
    let top: BTreeSet<&str> = top.filter(|name| !name.starts_with('.')).collect();
    let usual = ["README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Cargo.lock"];
    let usual = usual.into_iter().chain(["Cargo.toml", "rust-toolchain.toml", "rustfmt.toml"]);
    let house = CRATES.into_iter().chain(["configs", "docs"]).chain(usual);
    assert_eq!(top, house.collect());
}
