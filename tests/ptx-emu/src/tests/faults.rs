//! What a GPU may let pass, and the emulator does not.

use super::{fault, kernel, run, run_with};
use crate::{FaultKind, Launch, Memory, Module, Options, Params, Watch, launch};

#[test]
fn test_fault__out_of_bounds() {
    assert_eq!(fault("st.global.u32 [%rd1+4], %r0;", 32), (FaultKind::OutOfBounds, 2));
    assert_eq!(fault("ld.global.u32 %r1, [%rd1+-4];", 32).0, FaultKind::OutOfBounds);
    assert_eq!(fault("mov.u64 %rd2, 64; ld.global.u32 %r1, [%rd2];", 1).0, FaultKind::OutOfBounds);
    assert_eq!(fault(".shared .b32 s[4]; st.shared.u32 [s+16], %r0;", 1).0, FaultKind::OutOfBounds);
    let report = run("\n\nst.global.u32 [%rd1+4], %r0;", 32).unwrap_err().to_string();
    let expected = "test, line 4 `st.global.u32 [%rd1+4], %r0`, block (0, 0, 0) warp 0 lane 31: OutOfBounds: \
                    4 bytes at global";
    assert!(report.starts_with(expected), "{report}");
}

/// 6.4.1: "the address must be naturally aligned to a multiple of the access size".
#[test]
fn test_fault__misaligned() {
    assert_eq!(fault("ld.global.u32 %r1, [%rd0+2];", 4).0, FaultKind::Misaligned);
    let vector = "ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%rd0+8];";
    assert_eq!(fault(vector, 8).0, FaultKind::Misaligned);
    assert!(run("ld.global.v2.u32 {%r1, %r2}, [%rd0+8];", 8).is_ok());
}

#[test]
fn test_fault__memory_given_back() {
    let module = Module::parse(&kernel("ld.global.u32 %r1, [%rd0];")).unwrap();
    let mut memory = Memory::default();
    let out = memory.upload_u32(&[1]).unwrap();
    memory.free(out).unwrap();
    let params = Params::new().pointer(out);
    let shape = Launch::linear(1, 1);
    let fault = launch(&mut memory, &module.kernels()[0], &shape, &params, &Options::default());
    assert_eq!(fault.unwrap_err().kind, FaultKind::UseAfterFree);
}

/// 5.1.1 "Registers ... values are undefined until written"; fresh memory has no value either.
#[test]
fn test_fault__what_nobody_wrote() {
    assert_eq!(fault("add.u32 %r1, %r2, 1;", 1), (FaultKind::UninitialisedRegister, 2));
    let one_side = "setp.lt.u32 %p1, %r0, 5; @%p1 mov.u32 %r2, 1; add.u32 %r1, %r2, 1;";
    assert_eq!(fault(one_side, 32).0, FaultKind::UninitialisedRegister);
    assert!(run(one_side, 5).is_ok());
    assert_eq!(fault("@%p3 bra OUT; OUT:", 1).0, FaultKind::UninitialisedRegister);
    let shared = ".shared .b32 s[4]; ld.shared.u32 %r1, [s+8];";
    assert_eq!(fault(shared, 1).0, FaultKind::UninitialisedMemory);
    let module = Module::parse(&kernel("ld.global.u32 %r1, [%rd0];")).unwrap();
    let mut memory = Memory::default();
    let params = Params::new().pointer(memory.alloc(4).unwrap());
    let shape = Launch::linear(1, 1);
    let mut run = |watch| {
        let options = Options { watch, ..Options::default() };
        launch(&mut memory, &module.kernels()[0], &shape, &params, &options).map_err(|f| f.kind)
    };
    assert_eq!(run(Watch::Everything).unwrap_err(), FaultKind::UninitialisedMemory);
    assert!(run(Watch::Addresses).is_ok());
}

/// A launch that is not watched still notes what it writes, for one that is.
#[test]
fn test_fault__what_an_unwatched_launch_wrote() {
    let module = Module::parse(&kernel("st.global.u32 [%rd1], %r0;")).unwrap();
    let mut memory = Memory::default();
    let out = memory.alloc(8).unwrap();
    let options = Options { watch: Watch::Addresses, ..Options::default() };
    let params = Params::new().pointer(out);
    launch(&mut memory, &module.kernels()[0], &Launch::linear(1, 1), &params, &options).unwrap();
    let written = memory.written(out, 8).unwrap();
    assert_eq!(written, [true, true, true, true, false, false, false, false]);
}

/// Shared memory is that of one block: what the block before left is not there.
#[test]
fn test_fault__shared_memory_of_another_block() {
    let body = ".shared .b32 s[1]; mov.u32 %r2, %ctaid.x; setp.eq.u32 %p1, %r2, 0;
        @%p1 st.shared.u32 [s], %r2; ld.shared.u32 %r1, [s];";
    let run = |blocks| run_with(body, Launch::linear(blocks, 1), 1, &Options::default());
    assert!(run(1).is_ok());
    assert_eq!(run(2).unwrap_err().kind, FaultKind::UninitialisedMemory);
}

/// 8.10.1: "conflicting ... morally strong" accesses without order are a data race; blocks have no order.
#[test]
fn test_fault__races_in_global_memory() {
    let same = "st.global.u32 [%rd0], %r0;";
    assert_eq!(fault(same, 2).0, FaultKind::GlobalRace, "two lanes write one word");
    assert_eq!(fault(same, 64).0, FaultKind::GlobalRace);
    let own = "mov.u32 %r2, %ctaid.x; mad.wide.u32 %rd2, %r2, 4, %rd0;";
    let run = |body: &str| run_with(body, Launch::linear(4, 1), 4, &Options::default());
    assert!(run(&format!("{own} st.global.u32 [%rd2], %r2;")).is_ok());
    assert!(run("red.global.add.u32 [%rd0], 1;").is_ok(), "atomics are ordered");
    let read = run(&format!("{own} ld.global.u32 %r1, [%rd0]; st.global.u32 [%rd2], %r1;"));
    assert_eq!(read.unwrap_err().kind, FaultKind::GlobalRace);
    let plain = "red.global.add.u32 [%rd0], 1; ld.global.u32 %r1, [%rd0];";
    assert_eq!(run(plain).unwrap_err().kind, FaultKind::GlobalRace, "a plain read beside atomics");
}

/// 9.7.9.9: ld.global.nc "Load read-only data": what the kernel writes is none.
#[test]
fn test_fault__read_only_data_that_is_written() {
    let body = "st.global.u32 [%rd1], %r0; ld.global.nc.u32 %r1, [%rd1];";
    assert_eq!(fault(body, 4).0, FaultKind::ReadOnly);
}

/// 9.7.12.3: "bra.uni is guaranteed to be non-divergent".
#[test]
fn test_fault__uniform_branches_that_are_not() {
    let body = "setp.lt.u32 %p1, %r0, 3; @%p1 bra.uni OUT; OUT:";
    assert_eq!(fault(body, 8).0, FaultKind::Diverged);
    assert!(run(body, 3).is_ok());
}

#[test]
fn test_fault__endless_loops_and_traps() {
    let options = Options { max_steps: 1000, ..Options::default() };
    let endless = run_with("AGAIN: bra.uni AGAIN;", Launch::linear(1, 1), 1, &options);
    assert_eq!(endless.unwrap_err().kind, FaultKind::StepLimit);
    assert_eq!(fault("setp.eq.u32 %p1, %r0, 3; @%p1 trap;", 8).0, FaultKind::Trap);
    assert!(run("setp.eq.u32 %p1, %r0, 9; @%p1 trap;", 8).is_ok());
}

/// CUDA C++ Programming Guide, "Features and Technical Specifications".
#[test]
fn test_fault__limits_of_the_hardware() {
    let refused = |shape: Launch, options: Options, body: &str| {
        let fault = run_with(body, shape, 1, &options).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Launch);
        fault.what
    };
    let options = Options::default();
    assert!(refused(Launch::linear(1, 1025), options, "").contains("block"));
    assert!(refused(Launch::linear(0, 1), options, "").contains("grid"));
    let tall = Launch { grid: [1, 65536, 1], ..Launch::linear(1, 1) };
    assert!(refused(tall, options, "").contains("65535"));
    let cube = Launch { block: [32, 32, 2], ..Launch::linear(1, 1) };
    assert!(refused(cube, options, "").contains("2048 threads"));
    assert!(
        refused(Launch::linear(1, 1), options, ".shared .b32 s[12289];").contains("49156 bytes")
    );
    let heavy = Options { registers: 65, ..options };
    assert!(refused(Launch::linear(1, 1024), heavy, "").contains("registers"));
    let dynamic = Launch { dynamic_shared: 4, ..Launch::linear(1, 1) };
    assert!(refused(dynamic, options, "").contains("uses none"));
}

#[test]
fn test_fault__parameters_that_do_not_fit() {
    let module = Module::parse(&kernel("")).unwrap();
    let mut memory = Memory::default();
    let mut run = |params| {
        let shape = Launch::linear(1, 1);
        let result =
            launch(&mut memory, &module.kernels()[0], &shape, &params, &Options::default());
        result.map_err(|f| f.what).map(|_| ())
    };
    assert_eq!(run(Params::new()).unwrap_err(), "0 parameters, the kernel has 1");
    assert_eq!(run(Params::new().u32(3)).unwrap_err(), "4 bytes for parameter out, not 8");
    assert_eq!(run(Params::new().bytes(&[0; 8])), Ok(()));
}
