//! The device that a run computes on.

use super::notice::{Notice, Say};
use crate::config::DeviceChoice;
use foundry_engine::{Device, DeviceError};

/// Opens the device of a configuration and says which it is; `auto` takes a GPU where there is one, and says why not where
/// there is none.
///
/// # Errors
/// If the device that was asked for by name is not there.
pub fn open_device(choice: DeviceChoice, say: Say<'_>) -> Result<Device, DeviceError> {
    let device = match choice {
        DeviceChoice::Cpu => Device::cpu(),
        DeviceChoice::Cuda(ordinal) => Device::cuda(ordinal as usize)?,
        DeviceChoice::Auto => match Device::cuda(0) {
            Ok(device) => device,
            Err(error) => {
                let error = error.to_string();
                let why = error.lines().next().unwrap_or_default();
                say(Notice::Info(format!("device: cpu ({why})")));
                return Ok(Device::cpu());
            }
        },
    };
    say(Notice::Info(format!("device: {}", device.describe())));
    Ok(device)
}
