//! Stopping in good order.
//!
//! SIGINT (Ctrl-C), SIGTERM (job schedulers) and SIGUSR1 (Slurm's early warning) set a flag that every long loop asks
//! between two steps; the run then saves and ends with exit code 75. A second Ctrl-C ends the program at once, with
//! exit code 130. On Windows there is no SIGUSR1.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

/// Exit code of a run that was stopped early and can be resumed.
pub const EXIT_STOPPED: u8 = 75;
/// Exit code after the second Ctrl-C.
pub const EXIT_ABORTED: u8 = 130;

/// Why a run is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGUSR1.
    User1,
    /// The configured `time_limit`.
    TimeLimit,
}

impl StopReason {
    const ALL: [Self; 4] = [Self::Interrupt, Self::Terminate, Self::User1, Self::TimeLimit];

    /// Its number in the flag, where 0 is "go on".
    fn code(self) -> usize {
        1 + self as usize
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "interrupted (SIGINT)",
            Self::Terminate => "asked to end (SIGTERM)",
            Self::User1 => "warned by the scheduler (SIGUSR1)",
            Self::TimeLimit => "time limit reached",
        })
    }
}

/// A stop was asked for: the error of what cannot be gone on with later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Stopped(pub StopReason);

/// The flag; clones share it, and asking it costs one load.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicUsize>);

impl StopFlag {
    /// A flag that no signal sets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag that is set by the signals above. To be called once, at the start of the program.
    ///
    /// # Errors
    /// When a signal handler cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let flag = Self::new();
        let once = Arc::new(AtomicBool::new(false));
        // Handlers run in the order of registration: the second Ctrl-C finds `once` set, and ends the program.
        signal_hook::flag::register_conditional_shutdown(
            SIGINT,
            EXIT_ABORTED.into(),
            Arc::clone(&once),
        )?;
        signal_hook::flag::register(SIGINT, once)?;
        flag.set_by(SIGINT, StopReason::Interrupt)?;
        flag.set_by(SIGTERM, StopReason::Terminate)?;
        #[cfg(unix)]
        flag.set_by(signal_hook::consts::SIGUSR1, StopReason::User1)?;
        Ok(flag)
    }

    fn set_by(&self, signal: i32, reason: StopReason) -> io::Result<()> {
        signal_hook::flag::register_usize(signal, Arc::clone(&self.0), reason.code()).map(|_| ())
    }

    /// Asks for a stop, unless one is asked for already.
    pub fn request(&self, reason: StopReason) {
        let _ = self.0.compare_exchange(0, reason.code(), Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Whether to stop, and why.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        let code = self.0.load(Ordering::Relaxed);
        StopReason::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Goes on, unless a stop is asked for.
    ///
    /// # Errors
    /// Why to stop.
    pub fn check(&self) -> Result<(), Stopped> {
        self.reason().map_or(Ok(()), |reason| Err(Stopped(reason)))
    }

    /// Whether to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.reason().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(unix)]
    use crate::test_child;

    #[cfg(unix)]
    fn raise(signal: i32) {
        signal_hook::low_level::raise(signal).expect("a signal can be raised");
    }

    #[test]
    fn test_stop_flag__is_shared_by_clones_and_keeps_its_first_reason() {
        let flag = StopFlag::new();
        let clone = flag.clone();
        assert_eq!(clone.reason(), None);
        flag.request(StopReason::TimeLimit);
        flag.request(StopReason::Terminate);
        assert_eq!(clone.reason(), Some(StopReason::TimeLimit));
        assert!(clone.is_set());
    }

    #[test]
    #[cfg(unix)]
    #[expect(clippy::print_stdout, reason = "a child process answers its parent")]
    fn test_stop_flag__is_set_by_each_signal() {
        let cases = [
            (SIGINT, "interrupted (SIGINT)"),
            (SIGTERM, "asked to end (SIGTERM)"),
            (signal_hook::consts::SIGUSR1, "warned by the scheduler (SIGUSR1)"),
        ];
        if let Some(part) = test_child::part() {
            let flag = StopFlag::on_signals().expect("handlers can be installed");
            raise(part.parse().expect("a number"));
            println!("{}", flag.reason().expect("the flag is set"));
            return;
        }
        let here = "train::signals::tests::test_stop_flag__is_set_by_each_signal";
        for (signal, reason) in cases {
            let output = test_child::spawn(here, &signal.to_string(), "");
            assert!(output.status.success());
            assert!(String::from_utf8_lossy(&output.stdout).contains(reason));
        }
    }

    #[test]
    #[cfg(unix)]
    #[expect(clippy::print_stdout, reason = "a child process answers its parent")]
    fn test_stop_flag__second_ctrl_c_ends_the_program_at_once() {
        if test_child::part().is_some() {
            let _flag = StopFlag::on_signals().expect("handlers can be installed");
            for signal in [SIGTERM, SIGTERM, SIGINT] {
                raise(signal);
            }
            println!("still here");
            raise(SIGINT);
            println!("not reached");
            return;
        }
        let here = "train::signals::tests::test_stop_flag__second_ctrl_c_ends_the_program_at_once";
        let output = test_child::spawn(here, "twice", "");
        assert_eq!(output.status.code(), Some(i32::from(EXIT_ABORTED)));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("still here") && !said.contains("not reached"), "{said}");
    }
}
