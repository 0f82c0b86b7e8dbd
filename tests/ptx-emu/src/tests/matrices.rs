//! Matrix products, matrix loads, asynchronous copies.

use super::{fault, run_with};
use crate::{FaultKind, Kind, Launch, Options};

/// A of 16 x 16 ones, except (row 3, k 5) = 2, times B with B[k][n] = n: the layout of 9.7.14.5.8.
#[test]
fn test_mma__layout_of_bf16_fragments() {
    // a(row, k) lies in lane 4 (row % 8) + (k % 8) / 2, register (row >= 8) + 2 (k >= 8): here lane 14, register 0, upper.
    let body = "mov.b32 %r2, 0x3f803f80; mov.b32 %r3, %r2; mov.b32 %r4, %r2; mov.b32 %r5, %r2;
        setp.eq.u32 %p1, %r0, 14; @%p1 mov.b32 %r2, 0x40003f80;
        shr.u32 %r6, %r0, 2; cvt.rn.f32.u32 %f8, %r6; cvt.rn.bf16x2.f32 %r7, %f8, %f8;
        mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
            {%f0, %f1, %f2, %f3}, {%r2, %r3, %r4, %r5}, {%r7, %r7}, {0f3f000000, 0f3f000000, 0f3f000000, 0f3f000000};
        shl.b32 %r8, %r0, 4; cvt.u64.u32 %rd2, %r8; add.u64 %rd2, %rd2, %rd0;
        st.global.v4.f32 [%rd2], {%f0, %f1, %f2, %f3};";
    for options in [Options::default(), Options::adversarial(1)] {
        let (out, counters) = run_with(body, Launch::linear(1, 32), 128, &options).unwrap();
        for lane in 0..32 {
            for register in 0..4 {
                let (row, column) = (lane / 4 + 8 * (register / 2), lane % 4 * 2 + register % 2);
                let expected = column as f32 * if row == 3 { 17.0 } else { 16.0 } + 0.5;
                assert_eq!(f32::from_bits(out[4 * lane + register]), expected, "{row} {column}");
            }
        }
        assert_eq!(counters.matrix_flops, 2 * 16 * 8 * 16);
        assert_eq!(counters.of(Kind::Matrix), 1);
    }
}

/// 9.7.14.5: "the behavior is undefined if all threads in the warp do not execute the same mma instruction".
#[test]
fn test_mma__needs_the_whole_warp() {
    let mma = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32
        {%f0, %f1, %f2, %f3}, {%r2, %r2, %r2, %r2}, {%r2, %r2}, {0f0, 0f0, 0f0, 0f0};"
        .replace("0f0", "0f00000000");
    assert_eq!(fault(&format!("mov.b32 %r2, 0; {mma}"), 31).0, FaultKind::InactiveLane);
    let some = format!("mov.b32 %r2, 0; setp.eq.u32 %p1, %r0, 0; @%p1 {mma}");
    assert_eq!(fault(&some, 32).0, FaultKind::InactiveLane);
}

/// 9.7.14.5.15: each thread i of 0-7 gives the address of row i; "thread 0 receives elements 0 and 1 of row 0, ...".
#[test]
fn test_ldmatrix__rows_and_transposes() {
    // Shared 16-bit numbers 0, 1, 2, ...; each lane writes two of them, a matrix is 8 rows of 16 bytes.
    let body = |form: &str| {
        format!(
            ".shared .align 16 .b8 tile[128];
            shl.b32 %r2, %r0, 2; mov.u32 %r3, tile; add.u32 %r4, %r3, %r2;
            shl.b32 %r5, %r0, 1; add.u32 %r6, %r5, 1; shl.b32 %r6, %r6, 16; or.b32 %r6, %r6, %r5;
            st.shared.b32 [%r4], %r6; bar.sync 0;
            and.b32 %r7, %r0, 7; shl.b32 %r7, %r7, 4; add.u32 %r7, %r7, %r3;
            ldmatrix.sync.aligned.m8n8.x1{form}.shared.b16 {{%r1}}, [%r7]; st.global.u32 [%rd1], %r1;"
        )
    };
    let lanes =
        |form| run_with(&body(form), Launch::linear(1, 32), 32, &Options::default()).unwrap().0;
    let pair = |lo: u32, hi: u32| hi << 16 | lo;
    for (i, word) in (0..).zip(lanes("")) {
        assert_eq!(word, pair(2 * i, 2 * i + 1));
    }
    for (i, word) in (0..).zip(lanes(".trans")) {
        let (row, column) = (i / 4, i % 4 * 2);
        assert_eq!(word, pair(8 * column + row, 8 * column + 8 + row));
    }
}

/// Copies 16 bytes a thread to shared memory and back out.
const COPY: &str = ".shared .align 16 .b8 tile[512];
    shl.b32 %r2, %r0, 4; mov.u32 %r3, tile; add.u32 %r3, %r3, %r2; cvt.u64.u32 %rd2, %r2; add.u64 %rd2, %rd2, %rd0;
    cp.async.cg.shared.global [%r3], [%rd2], 16;
    cp.async.commit_group;
    cp.async.wait_group 0;
    bar.sync 0;
    xor.b32 %r2, %r2, 16; mov.u32 %r3, tile; add.u32 %r3, %r3, %r2;
    ld.shared.v4.u32 {%r4, %r5, %r6, %r7}, [%r3];
    bar.sync 0;
    st.global.v4.u32 [%rd2], {%r4, %r5, %r6, %r7};";

/// 9.7.9.25.3.3: cp.async.wait_group "will cause executing thread to wait till only N or fewer of the most recent
/// cp.async-groups are pending"; the writes are visible to the executing thread, and to others after a barrier.
#[test]
fn test_cp_async__is_there_after_wait_and_barrier() {
    let run = |body: &str| {
        run_with(body, Launch::linear(1, 32), 128, &Options::default()).map(|(out, _)| out)
    };
    let out = run(COPY).unwrap();
    assert!(out.iter().zip(0..).all(|(&x, i)| x == i ^ 4));
    let kind = |body: &str| run(body).unwrap_err().kind;
    assert_eq!(kind(&COPY.replace("wait_group 0", "wait_group 1")), FaultKind::PendingCopy);
    assert_eq!(kind(&COPY.replace("cp.async.wait_group 0;", "")), FaultKind::PendingCopy);
    assert_eq!(kind(&COPY.replace("cp.async.commit_group;", "")), FaultKind::PendingCopy);
    assert_eq!(kind(&COPY.replacen("bar.sync 0;", "", 1)), FaultKind::SharedRace);
    assert!(run(&COPY.replace("wait_group 0", "wait_all")).is_ok());
}

/// 9.7.9.25.3.1: "src-size ... the remaining bytes of destination are filled with zeros".
#[test]
fn test_cp_async__fills_with_zeros() {
    let body = COPY.replace("[%rd2], 16;", "[%rd2], 16, 8;");
    let (out, _) = run_with(&body, Launch::linear(1, 32), 128, &Options::default()).unwrap();
    assert!(out.iter().zip(0..).all(|(&x, i)| x == if i % 4 < 2 { i ^ 4 } else { 0 }));
}

/// "src-size specifies the size in bytes of data to be copied": what lies beyond is not read, and with 0 nothing is.
#[test]
fn test_cp_async__reads_no_further_than_it_is_told() {
    let kind = |bytes: &str| {
        let body = COPY.replace("[%rd2], 16;", &format!("[%rd2+504], 16, {bytes};"));
        let body = body.replace("st.global.v4.u32 [%rd2]", "@%p1 st.global.v4.u32 [%rd2]");
        let body = format!("setp.eq.u32 %p1, 0, 1; {body}").replace("+504", "+512");
        run_with(&body, Launch::linear(1, 32), 128, &Options::default()).map_err(|f| f.kind).err()
    };
    assert_eq!(kind("0"), None);
    assert_eq!(kind("2"), Some(FaultKind::OutOfBounds));
    assert_eq!(kind("17"), Some(FaultKind::OutOfBounds), "more than the copy has");
    let last = COPY.replace("[%rd2], 16;", "[%rd2], 16, 6;");
    let (out, _) = run_with(&last, Launch::linear(1, 32), 128, &Options::default()).unwrap();
    assert!(out.iter().zip(0..).all(|(&x, i): (&u32, u32)| x
        == match i % 4 {
            0 => i ^ 4,
            1 => (i ^ 4) & 0xffff,
            _ => 0,
        }));
}
