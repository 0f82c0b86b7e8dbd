//! The device that a run computes on.

use super::notice::{Notice, Say};
use crate::config::DeviceChoice;
use crate::config::choices::Precision as Chosen;
use foundry_engine::{Device, DeviceError, Precision};

/// Opens the device of a configuration and says which it is; `auto` takes a GPU where there is one, and says why not where
/// there is none.
///
/// # Errors
/// If the device that was asked for by name is not there, or it does not compute in this precision.
pub fn open_device(
    choice: DeviceChoice,
    precision: Precision,
    say: Say<'_>,
) -> Result<Device, DeviceError> {
    let device = match choice {
        DeviceChoice::Cpu => Device::cpu(),
        DeviceChoice::Cuda(ordinal) => Device::cuda(ordinal as usize)?,
        DeviceChoice::Auto => match Device::cuda(0) {
            Ok(device) => device,
            // What was asked for is not passed over.
            Err(error @ DeviceError::NoCublas(_)) => return Err(error),
            Err(error) => {
                let error = error.to_string();
                let why = error.lines().next().unwrap_or_default();
                if precision != Precision::Fp32 {
                    let (precision, why) = (precision.to_string(), format!("; {why}"));
                    return Err(DeviceError::NeedsCuda { precision, why });
                }
                say(Notice::Info(format!("device: cpu ({why})")));
                return Ok(Device::cpu());
            }
        },
    };
    let device = device.with_precision(precision)?;
    say(Notice::Info(format!("device: {}", device.describe())));
    Ok(device)
}

impl From<Chosen> for Precision {
    fn from(chosen: Chosen) -> Self {
        match chosen {
            Chosen::Fp32 => Self::Fp32,
            Chosen::Bf16 => Self::Bf16,
            Chosen::Fp16 => Self::Fp16,
        }
    }
}
