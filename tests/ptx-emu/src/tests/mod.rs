//! The emulator against the PTX ISA: every test quotes the rule that it checks (version 8.8, with the section).

mod arithmetic;
mod faults;
mod matrices;
mod syntax;
mod warps;

use crate::{Counters, Fault, FaultKind, Launch, Memory, Module, Options, Params, launch};

const REGISTERS: &str = ".reg .pred %p<8>; .reg .b32 %r<32>; .reg .f32 %f<16>; .reg .b64 %rd<16>; \
                         .reg .f64 %fd<8>; .reg .b16 %h<4>;";

/// A kernel with this body. `%rd0` is the address of `out`, `%r0` the thread, `%rd1` the address of out[thread], and
/// the body of a second entry in the same text would begin in line 1 too.
pub(super) fn kernel(body: &str) -> String {
    format!(
        ".version 8.0 .target sm_90 .address_size 64 .visible .entry test(.param .u64 out) {{ {REGISTERS} \
         ld.param.u64 %rd0, [out]; mov.u32 %r0, %tid.x; mad.wide.u32 %rd1, %r0, 4, %rd0;\n{body}\nret; }}"
    )
}

/// Runs a body on one block; `out` has as many words as threads, and holds their numbers at first.
pub(super) fn run_with(
    body: &str,
    shape: Launch,
    words: u32,
    options: &Options,
) -> Result<(Vec<u32>, Counters), Box<Fault>> {
    let module = Module::parse(&kernel(body)).unwrap_or_else(|e| panic!("{e}: {body}"));
    let mut memory = Memory::default();
    let start: Vec<u32> = (0..words).collect();
    let out = memory.upload_u32(&start).unwrap();
    let params = Params::new().pointer(out);
    let counters = launch(&mut memory, module.kernel("test").unwrap(), &shape, &params, options)?;
    Ok((memory.download_u32(out, words as usize).unwrap(), counters))
}

pub(super) fn run(body: &str, threads: u32) -> Result<Vec<u32>, Box<Fault>> {
    let shape = Launch::linear(1, threads);
    run_with(body, shape, threads, &Options::default()).map(|(out, _)| out)
}

/// The fault of a body, which must not depend on the order of anything.
pub(super) fn fault(body: &str, threads: u32) -> (FaultKind, u32) {
    let shape = Launch::linear(1, threads);
    let natural = run_with(body, shape, threads, &Options::default());
    let natural = natural.expect_err("a fault");
    for seed in 0..4 {
        let random = run_with(body, shape, threads, &Options::adversarial(seed));
        assert_eq!(random.expect_err("a fault").kind, natural.kind, "{natural}");
    }
    (natural.kind, natural.line)
}

/// One word that a body leaves in `%r1`.
pub(super) fn word(body: &str) -> u32 {
    run(&format!("{body} st.global.u32 [%rd1], %r1;"), 1).unwrap_or_else(|e| panic!("{e}"))[0]
}

/// One number that a body leaves in `%f1`.
pub(super) fn number(body: &str) -> f32 {
    let out = run(&format!("{body} st.global.f32 [%rd1], %f1;"), 1);
    f32::from_bits(out.unwrap_or_else(|e| panic!("{e}"))[0])
}
