//! What is set up before anything else.

use crate::failure::Failure;
use crate::terminal::say;
use foundry_engine::{Device, Precision, cublas, isa};
use foundry_models::config::{Config, DeviceChoice};
use foundry_models::pipeline::{Notice, Trained, open_device};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// A full disk or a file-size limit becomes an error that is reported, not a signal that kills.
pub(crate) fn process() -> Result<(), Failure> {
    isa::from_env().map_err(Failure::usage)?;
    cublas::from_env().map_err(Failure::usage)?;
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
        config.device = DeviceChoice::parse(word).ok_or_else(|| not_a_device(word))?;
    }
    let precision = Precision::from(config.precision);
    match config.device {
        DeviceChoice::Cpu => {
            Device::cpu().with_precision(precision).map(|_| ()).map_err(Failure::usage)
        }
        DeviceChoice::Auto if precision == Precision::Fp32 => Ok(()),
        // Before anything else is begun.
        choice => open_device(choice, precision, &mut |_| {}).map(|_| ()).map_err(Failure::device),
    }
}

/// The device that a trained model is asked on.
pub(crate) fn place(trained: Trained, device: &str) -> Result<Trained, Failure> {
    let choice = DeviceChoice::parse(device).ok_or_else(|| not_a_device(device))?;
    if choice == DeviceChoice::Cpu {
        return Ok(trained);
    }
    let mut say_where = |notice: Notice<'_>| notice.text().into_iter().for_each(say);
    let device = open_device(choice, Precision::Fp32, &mut say_where)?;
    Ok(trained.on(&device))
}

fn not_a_device(word: &str) -> Failure {
    Failure::usage(format!("--device {word}: expected auto, cpu, cuda or cuda:N"))
}
