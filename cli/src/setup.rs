//! What is set up before anything else.

use crate::failure::Failure;
use foundry_engine::isa;
use foundry_models::config::{Config, DeviceChoice};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// A full disk or a file-size limit becomes an error that is reported, not a signal that kills.
pub(crate) fn process() -> Result<(), Failure> {
    isa::from_env().map_err(Failure::usage)?;
    foundry_models::storage::survive_file_size_limit().map_err(Failure::runtime)
}

/// The threads to compute with: `--threads`, or the configuration's, or the cores this process may use.
pub(crate) fn threads(flag: Option<usize>, config: Option<&Config>) -> Result<ThreadPool, Failure> {
    let wanted = flag.or(config.and_then(|c| c.threads)).unwrap_or(0);
    ThreadPoolBuilder::new()
        .num_threads(wanted)
        .build()
        .map_err(|e| Failure::runtime(format!("cannot start {wanted} threads: {e}")))
}

/// Applies `--device`, and refuses a device that this program cannot use.
pub(crate) fn device(flag: Option<&str>, config: &mut Config) -> Result<(), Failure> {
    if let Some(word) = flag {
        config.device = DeviceChoice::parse(word).ok_or_else(|| {
            Failure::usage(format!("--device {word}: expected auto, cpu, cuda or cuda:N"))
        })?;
    }
    match config.device {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(()),
        DeviceChoice::Cuda(_) => Err(Failure::device(
            "device cuda is not available yet: this version computes on the CPU\n  mend: --device cpu",
        )),
    }
}
