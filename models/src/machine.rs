//! What the machine says of itself.

/// The memory that this process holds, in bytes; None where the system does not say.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    status("VmRSS:")
}

/// The most memory that this process has held, in bytes; None where the system does not say.
#[must_use]
pub fn peak_resident_bytes() -> Option<u64> {
    status("VmHWM:")
}

/// Lets the most memory that this process has held be counted anew from now on. Where the system cannot, it goes on
/// counting from the start.
pub fn forget_peak() {
    // Linux: proc(5), /proc/pid/clear_refs, 5.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The memory that programs may still take without swapping, in bytes; None where the system does not say.
#[must_use]
pub fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// A line of the system's account of this process, in bytes.
fn status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with(name))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Time that processors have spent computing, in seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Busy {
    /// All processors, since the machine was started.
    pub machine: f64,
    /// This process, all of its threads.
    pub process: f64,
}

/// How busy the machine and this process have been; None where the system does not say.
#[must_use]
pub fn busy() -> Option<Busy> {
    // Linux counts in hundredths of a second, whatever its clock.
    const TICK: f64 = 0.01;
    let all = std::fs::read_to_string("/proc/stat").ok()?;
    let all: Vec<f64> =
        all.lines().next()?.split_whitespace().skip(1).filter_map(|x| x.parse().ok()).collect();
    // user, nice, system, irq, softirq, stolen
    let machine = [0, 1, 2, 5, 6, 7].iter().filter_map(|&i| all.get(i)).sum::<f64>() * TICK;
    let own = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may hold anything.
    let own: Vec<&str> = own.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| own.get(i)?.parse::<f64>().ok();
    Some(Busy { machine, process: (ticks(11)? + ticks(12)?) * TICK })
}
