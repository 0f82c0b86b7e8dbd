//! Control flow, barriers, shuffles, votes, shared memory.

use super::{fault, kernel, run, run_with};
use crate::{FaultKind, Launch, Memory, Module, Options, Params, launch};

/// 3.1: "threads of a warp that diverge execute each path taken"; they meet again behind it.
#[test]
fn test_branch__both_sides_are_taken_and_meet_again() {
    let body = "and.b32 %r2, %r0, 1; setp.eq.u32 %p1, %r2, 0;
        @%p1 bra EVEN;
        mov.u32 %r3, 100; bra.uni JOIN;
        EVEN: mov.u32 %r3, 200;
        JOIN: shfl.sync.bfly.b32 %r4, %r3, 1, 31, -1;
        st.global.u32 [%rd1], %r4;";
    let (out, counters) = run_with(body, Launch::linear(1, 64), 64, &Options::default()).unwrap();
    assert!(out.iter().enumerate().all(|(i, &x)| x == if i % 2 == 0 { 100 } else { 200 }));
    assert_eq!(counters.divergent_branches, 2);
    for seed in 0..8 {
        let random = run_with(body, Launch::linear(1, 64), 64, &Options::adversarial(seed));
        assert_eq!(random.unwrap().0, out);
    }
}

/// A loop that every lane leaves at another time.
#[test]
fn test_branch__lanes_leave_a_loop_one_by_one() {
    let body = "mov.u32 %r2, 0; mov.u32 %r3, 0;
        LOOP: setp.gt.u32 %p1, %r2, %r0; @%p1 bra DONE;
        add.u32 %r3, %r3, %r2; add.u32 %r2, %r2, 1; bra.uni LOOP;
        DONE: st.global.u32 [%rd1], %r3;";
    for options in [Options::default(), Options::adversarial(3)] {
        let (out, _) = run_with(body, Launch::linear(1, 50), 50, &options).unwrap();
        assert!(out.iter().zip(0..).all(|(&x, i)| x == i * (i + 1) / 2));
    }
}

/// 9.7.9.6, the pseudo-code: up "j = lane - bval; pval = (j >= maxLane)", down, bfly, idx; "if (!pval) j = lane"; c holds
/// the clamp in bits 0-4 and the segment mask in bits 8-12.
#[test]
fn test_shuffle__four_modes() {
    let shuffle =
        |text: &str| run(&format!("shfl.sync.{text}, -1; st.global.u32 [%rd1], %r1;"), 32).unwrap();
    let lanes = |f: fn(u32) -> u32| (0..32).map(f).collect::<Vec<_>>();
    assert_eq!(shuffle("up.b32 %r1, %r0, 3, 0"), lanes(|i| if i < 3 { i } else { i - 3 }));
    assert_eq!(shuffle("down.b32 %r1, %r0, 3, 31"), lanes(|i| if i > 28 { i } else { i + 3 }));
    assert_eq!(shuffle("bfly.b32 %r1, %r0, 6, 31"), lanes(|i| i ^ 6));
    assert_eq!(shuffle("idx.b32 %r1, %r0, 5, 31"), lanes(|_| 5));
    // Segments of eight lanes: 0x1807 keeps the two upper bits of the lane.
    assert_eq!(shuffle("idx.b32 %r1, %r0, 5, 0x181f"), lanes(|i| i / 8 * 8 + 5));
    assert_eq!(
        shuffle("down.b32 %r1, %r0, 1, 0x181f"),
        lanes(|i| if i % 8 == 7 { i } else { i + 1 })
    );
    let inside = "shfl.sync.down.b32 %r1|%p1, %r0, 8, 31, -1; selp.u32 %r1, 1, 0, %p1; st.global.u32 [%rd1], %r1;";
    assert_eq!(run(inside, 32).unwrap(), lanes(|i| u32::from(i < 24)));
}

/// 9.7.9.6: "wait until all non-exited threads corresponding to membermask have executed"; reading from an exited lane or
/// one outside of the mask is undefined, and so is a thread that is not in its own mask.
#[test]
fn test_shuffle__only_from_lanes_that_take_part() {
    let tail = "shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1;";
    assert_eq!(fault(tail, 31), (FaultKind::InactiveLane, 2), "lane 31 does not exist");
    let mask = "shfl.sync.idx.b32 %r1, %r0, 0, 31, 0xfffe;";
    assert_eq!(fault(mask, 32).0, FaultKind::InactiveLane);
    let guarded = "setp.lt.u32 %p1, %r0, 16; @%p1 shfl.sync.idx.b32 %r1, %r0, 0, 31, -1;";
    assert_eq!(fault(guarded, 32).0, FaultKind::InactiveLane);
    let half =
        "setp.ge.u32 %p1, %r0, 16; @%p1 bra OUT; shfl.sync.bfly.b32 %r1, %r0, 1, 31, 0xffff; OUT:";
    assert!(run(half, 32).is_ok());
    let never = "setp.ge.u32 %p1, %r0, 16; @%p1 bra OUT; shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1;
        OUT: bar.warp.sync -1;";
    assert_eq!(fault(never, 32).0, FaultKind::DivergentBarrier, "each half waits for the other");
}

/// 9.7.13.11: vote "all: True if the source predicate is true for all active threads in membermask", ballot.
#[test]
fn test_vote__three_modes() {
    let vote = |text: &str| {
        run(&format!("setp.lt.u32 %p1, %r0, 3; {text} st.global.u32 [%rd1], %r1;"), 32).unwrap()
    };
    assert_eq!(vote("vote.sync.ballot.b32 %r1, %p1, -1;"), [7; 32]);
    assert_eq!(vote("vote.sync.any.pred %p2, %p1, -1; selp.u32 %r1, 1, 0, %p2;"), [1; 32]);
    assert_eq!(vote("vote.sync.all.pred %p2, %p1, -1; selp.u32 %r1, 1, 0, %p2;"), [0; 32]);
}

/// Turns an array round through shared memory.
const REVERSE: &str = ".shared .align 4 .b8 tile[512];
    shl.b32 %r2, %r0, 2; mov.u32 %r3, tile; add.u32 %r3, %r3, %r2;
    st.shared.u32 [%r3], %r0;
    bar.sync 0;
    mov.u32 %r4, tile; sub.u32 %r4, %r4, %r2; ld.shared.u32 %r1, [%r4+508];
    st.global.u32 [%rd1], %r1;";

/// 9.7.13.1: bar.sync "causes the executing thread to wait for all non-exited threads ... and guarantees that all memory
/// accesses requested by this thread prior to the barrier are performed".
#[test]
fn test_barrier__orders_shared_memory() {
    for options in [Options::default(), Options::adversarial(1), Options::adversarial(2)] {
        let (out, counters) = run_with(REVERSE, Launch::linear(1, 128), 128, &options).unwrap();
        assert!(out.iter().zip(0..).all(|(&x, i)| x == 127 - i));
        assert_eq!(counters.barriers, 4);
        assert_eq!(counters.shared_requests, 8);
        assert_eq!(counters.shared_wavefronts, counters.shared_ideal);
        assert_eq!((counters.store.requests, counters.store.sectors), (4, 16));
    }
    let without = REVERSE.replace("bar.sync 0;", "");
    assert_eq!(fault(&without, 128).0, FaultKind::UninitialisedMemory);
    let twice = REVERSE.replace("st.global", "st.shared.u32 [%r3], %r1; st.global");
    assert_eq!(fault(&twice, 128).0, FaultKind::SharedRace, "overwritten while others read");
}

/// 9.7.13.2: bar.warp.sync "guarantees memory ordering among participating threads"; 9.7.9.6: shfl.sync does not.
#[test]
fn test_warp_barrier__orders_the_lanes_of_a_warp() {
    let body = |sync: &str| {
        format!(
            ".shared .b32 tile[32]; shl.b32 %r2, %r0, 2; mov.u32 %r3, tile; add.u32 %r3, %r3, %r2;
             st.shared.u32 [%r3], %r0; {sync} xor.b32 %r2, %r2, 4; mov.u32 %r3, tile; add.u32 %r3, %r3, %r2;
             ld.shared.u32 %r1, [%r3]; st.global.u32 [%rd1], %r1;"
        )
    };
    let out = run(&body("bar.warp.sync -1;"), 32).unwrap();
    assert!(out.iter().zip(0..).all(|(&x, i)| x == i ^ 1));
    assert_eq!(fault(&body(""), 32), (FaultKind::SharedRace, 4));
    assert_eq!(
        fault(&body("shfl.sync.bfly.b32 %r9, %r0, 1, 31, -1;"), 32).0,
        FaultKind::SharedRace
    );
}

/// 9.7.13.1: "if any thread in a warp executes a bar instruction, it is as if all the threads in the warp have"; in
/// conditional code it "should only be used if it is known that all threads evaluate the condition identically".
#[test]
fn test_barrier__all_or_none() {
    let lanes = "setp.lt.u32 %p1, %r0, 16; @%p1 bar.sync 0;";
    assert_eq!(fault(lanes, 32).0, FaultKind::DivergentBarrier);
    let branch = "setp.lt.u32 %p1, %r0, 16; @%p1 bra A; bar.sync 0; bra.uni B; A: bar.sync 0; B:";
    assert_eq!(fault(branch, 32).0, FaultKind::DivergentBarrier);
    let warps = "setp.lt.u32 %p1, %r0, 32; @%p1 bra A; bar.sync 0; bra.uni B; A: bar.sync 1; B:";
    assert_eq!(fault(warps, 64).0, FaultKind::DivergentBarrier);
    let exited = "setp.lt.u32 %p1, %r0, 32; @%p1 ret; bar.sync 0;";
    assert!(run(exited, 64).is_ok(), "non-exited threads only");
    assert!(run("bar.sync 0; bar.sync 1;", 96).is_ok());
}

/// 9.7.13.5: atom "returns the original value", and no update is lost.
#[test]
fn test_atomic__no_update_is_lost() {
    let body = "atom.global.add.u32 %r1, [%rd0], 1; mad.wide.u32 %rd2, %r0, 4, %rd0; st.global.u32 [%rd2+4], %r1;";
    let words = 4 * 64 + 1;
    let (out, _) = run_with(body, Launch::linear(1, 256), words, &Options::adversarial(5)).unwrap();
    assert_eq!(out[0], 256);
    let mut seen = out[1..].to_vec();
    assert_ne!(seen, (0..256).collect::<Vec<_>>(), "the order of lanes is not defined");
    seen.sort_unstable();
    assert_eq!(seen, (0..256).collect::<Vec<_>>());
    let swap = "mov.u32 %r2, 7; atom.global.cas.b32 %r1, [%rd1], 1, %r2;";
    assert_eq!(run(swap, 3).unwrap(), [0, 7, 2]);
}

/// 6.4.5: the dynamic shared memory of a launch begins behind the static one, at the alignment of its declaration.
#[test]
fn test_shared__dynamic() {
    let text = kernel(
        ".shared .b32 fixed[3]; mov.u32 %r2, heap; shl.b32 %r3, %r0, 2; add.u32 %r2, %r2, %r3;
         st.shared.u32 [%r2], %r0; ld.shared.u32 %r1, [%r2]; st.global.u32 [%rd1], %r1;",
    );
    let text = text.replace(".visible", ".extern .shared .align 16 .b8 heap[]; .visible");
    let module = Module::parse(&text).unwrap();
    let mut memory = Memory::default();
    let out = memory.upload_u32(&[9; 8]).unwrap();
    let mut run = |bytes, most| {
        let shape = Launch { dynamic_shared: bytes, ..Launch::linear(1, 8) };
        let options = Options { max_dynamic_shared: most, ..Options::default() };
        let params = Params::new().pointer(out);
        launch(&mut memory, &module.kernels()[0], &shape, &params, &options).map_err(|f| f.kind)
    };
    assert!(run(36, 0).is_ok());
    assert_eq!(run(35, 0).unwrap_err(), FaultKind::OutOfBounds);
    assert_eq!(
        run(50_000, 0).unwrap_err(),
        FaultKind::Launch,
        "more than 48 KB is to be asked for"
    );
    assert!(run(50_000, 50_000).is_ok());
    assert_eq!(memory.download_u32(out, 8).unwrap(), (0..8).collect::<Vec<_>>());
}
