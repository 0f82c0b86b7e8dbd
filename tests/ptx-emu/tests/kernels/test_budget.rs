//! Registers, shared memory and spills of every kernel: `kernels/ptx/BUDGET.md`, which ptxas fills in.
//!
//! ptxas 12.9 is in the PyPI package `nvidia-cuda-nvcc-cu12==12.9.86`; `FOUNDRY_PTXAS` names the program.

use foundry_kernels::cuda::ladder::LADDER;
use foundry_kernels::cuda::registry::{ALL, Source};
use foundry_kernels::cuda::tensor_cores::GENERATED;
use foundry_ptx_emu::Module;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// What every kernel is assembled for.
const TARGETS: [u32; 7] = [70, 75, 80, 86, 89, 90, 120];

fn every_text() -> impl Iterator<Item = &'static &'static Source> {
    ALL.iter().chain(GENERATED).chain(LADDER)
}

/// The device that a text is written for, at least.
fn target(source: &Source) -> u32 {
    let line = source.text.lines().find_map(|l| l.strip_prefix(".target sm_"));
    line.unwrap().parse().unwrap()
}

fn table() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../kernels/ptx/BUDGET.md")
}

/// The kernels of a text for one target: name, registers, bytes of shared memory, bytes of spills.
fn assemble(ptxas: &str, source: &Source, target: u32) -> Vec<(String, u32, u32, u32)> {
    let folder = std::env::temp_dir().join(format!("foundry-ptxas-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (text, binary) = (folder.join(source.file), folder.join("out.cubin"));
    std::fs::write(&text, source.text).unwrap();
    let arch = format!("-arch=sm_{target}");
    let run = Command::new(ptxas).args(["-v", &arch]).arg(&text).arg("-o").arg(&binary).output();
    let out = run.unwrap_or_else(|e| panic!("{ptxas}: {e}"));
    let report = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{} for sm_{target}: {report}", source.file);
    let number = |line: &str, unit: &str| {
        let before = line.split(unit).next().filter(|b| b.len() < line.len());
        let word = before.and_then(|b| b.split_whitespace().last().map(str::to_owned));
        word.and_then(|w| w.parse::<u32>().ok()).unwrap_or(0)
    };
    let mut kernels: Vec<(String, u32, u32, u32)> = vec![];
    for line in report.lines() {
        if let Some(rest) = line.split("entry function '").nth(1) {
            kernels.push((rest.split('\'').next().unwrap().to_owned(), 0, 0, 0));
        } else if let Some(kernel) = kernels.last_mut() {
            kernel.1 += number(line, " registers");
            kernel.2 += number(line, " bytes smem");
            kernel.3 += number(line, " bytes spill stores") + number(line, " bytes spill loads");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    kernels
}

/// Registers by target, bytes of shared memory, bytes of spills.
type Row = (Vec<(u32, u32)>, u32, u32);

fn measured(ptxas: &str) -> String {
    let mut text = String::from(
        "# Budgets\n\nWhat ptxas 12.9.86 makes of each kernel: registers of a thread by target, bytes of static shared \
         memory of a block, bytes of spills (must be 0); -: not for this target.\nMade by `FOUNDRY_PTXAS=ptxas FOUNDRY_BLESS=1 cargo test -p \
         foundry-ptx-emu --test kernels budget`.\n\n| kernel |",
    );
    text += &TARGETS.map(|t| format!(" sm_{t} |")).concat();
    text += " shared | spills |\n|---|";
    text += &"---|".repeat(TARGETS.len() + 2);
    text += "\n";
    for source in every_text() {
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        for target in TARGETS.into_iter().filter(|t| *t >= target(source)) {
            for (name, registers, shared, spills) in assemble(ptxas, source, target) {
                let row = rows.entry(name).or_default();
                row.0.push((target, registers));
                row.1 = row.1.max(shared);
                row.2 += spills;
            }
        }
        for (name, (registers, shared, spills)) in rows {
            let of = |t: &u32| registers.iter().find(|(target, _)| target == t);
            let registers = TARGETS.iter().map(|t| of(t).map_or("-".into(), |r| r.1.to_string()));
            let registers: String = registers.map(|r| format!(" {r} |")).collect();
            text += &format!("| `{name}` |{registers} {shared} | {spills} |\n");
        }
    }
    text
}

#[test]
fn test_budget__is_what_ptxas_says() {
    let Ok(ptxas) = std::env::var("FOUNDRY_PTXAS") else {
        eprintln!("SKIPPED: no ptxas: set FOUNDRY_PTXAS to assemble every kernel");
        return;
    };
    let measured = measured(&ptxas);
    if std::env::var_os("FOUNDRY_BLESS").is_some() {
        std::fs::write(table(), &measured).unwrap();
    }
    assert_eq!(std::fs::read_to_string(table()).unwrap(), measured);
}

/// Without ptxas: the table has every kernel, its shared memory is what the emulator counts, and nothing spills.
#[test]
fn test_budget__has_every_kernel() {
    let text = std::fs::read_to_string(table()).unwrap();
    let row = |name: &str| text.lines().find(|l| l.starts_with(&format!("| `{name}` |")));
    let mut kernels = 0;
    for source in every_text() {
        let module = Module::parse(source.text).unwrap_or_else(|e| panic!("{}: {e}", source.file));
        for kernel in module.kernels() {
            let row = row(kernel.name()).unwrap_or_else(|| panic!("{}: no budget", kernel.name()));
            let tail = format!(" {} | 0 |", kernel.static_shared());
            assert!(row.ends_with(&tail), "{row}: not {tail}");
            kernels += 1;
        }
    }
    let rows = text.lines().filter(|l| l.starts_with("| `")).count();
    assert_eq!(rows, kernels, "rows of kernels that are no more");
}

#[test]
fn test_registry__is_in_order_and_complete() {
    assert!(ALL.is_sorted_by(|a, b| a.file < b.file));
    let folder = table().parent().unwrap().to_owned();
    let files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name());
    let files = files.filter(|f| f.to_string_lossy().ends_with(".ptx")).count();
    assert_eq!(files, ALL.len(), "texts that are not in the registry");
}
