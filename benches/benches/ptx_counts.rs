//! Prints what the emulator counts for each GPU kernel and each version of the ladder. Counts, not times.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "this is what the program is for")]

fn main() {
    // `cargo test --benches` and `--list` pass arguments that ask for nothing here.
    println!("{}", foundry_benches::ptx::table());
}
