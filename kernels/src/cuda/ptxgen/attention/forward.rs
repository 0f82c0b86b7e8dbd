//! Forward.

use super::super::builder::{Address, Format, Is, Kernel, Real, Reg, Word};
use super::{Head, ROWS, THREADS, fragments, tile, times, times_transpose, write_rows, zeros};

pub(in super::super) fn lesson(format: Format) -> String {
    "\
Attention on tensor cores (Dao 2023, FlashAttention-2), forward, for heads of 32, 64 and 128 columns: the mathematics,
the masks and the dropout of attention.ptx. q [batch, queries, ..], k and v [batch, keys, ..] are HALF, rows `stride`
elements apart, of 16-byte multiples; y [batch, queries, heads d] and lse [batch, heads, queries] are f32.

Launch: grid (queries / 64 rounded up, heads, batch), 128 threads. A warp has 16 queries, whose fragments stay in its
registers; the block walks over the keys, 64 at a time:

    wait for k (and everybody is done with v); send for v
    S = q k^T: 16 x 64 sums in the registers of a warp; masks; streaming softmax, a row in four lanes
    wait for v (and everybody is done with k); send for the next k
    y += P v: the sums S, rounded to HALF, are the fragments of P as they lie

so that each copy has a product's time to come. Scores are kept in units of log2: one multiplication by scale log2(e), and
exponentials are 2^x. Padding and keys beyond the last have -infinity added to them; what is dropped is dropped after the
sum of the row, and 1 / (1 - p) is multiplied at the end.

Shared memory: tiles [64, d] of q, k, v: 12, 24 or 48 KB, swizzled; where q was, the flags of 64 keys. No bank conflict.

Traffic: k and v are read once per 64 queries of a head. Of d = 64, 4 x 64 x 64 x 64 operations for 16 KB are 64
operations a byte. Causal blocks stop at the last key that they see."
        .replace("HALF", format.name())
}

/// Lines up 2 x 2 lanes: the largest, or the sum, of the four lanes that share a row.
fn of_row(
    k: &mut Kernel,
    x: Reg<Real>,
    f: fn(&mut Kernel, Reg<Real>, Reg<Real>) -> Reg<Real>,
) -> Reg<Real> {
    let other = k.butterfly(x, 1);
    let x = f(k, x, other);
    let other = k.butterfly(x, 2);
    f(k, x, other)
}

/// Scores become weights; what was summed shrinks where the largest score of a row grows.
fn streaming_softmax(
    k: &mut Kernel,
    scores: &[[Reg<Real>; 4]],
    sums: &[[Reg<Real>; 4]],
    top: [Reg<Real>; 2],
    total: [Reg<Real>; 2],
) {
    for half in 0..2 {
        let mut grown = top[half];
        for s in scores {
            grown = k.max_real(grown, s[2 * half]);
            grown = k.max_real(grown, s[2 * half + 1]);
        }
        let grown = of_row(k, grown, |k, x, y| k.max_real(x, y));
        // a row that has seen no key yet
        let blind = k.compare_real(grown, Is::Eq, f32::NEG_INFINITY);
        let level = k.select_real(blind, 0.0, grown);
        let shrink = k.sub_real(top[half], level);
        let shrink = k.exp2(shrink);
        k.set_real(top[half], grown);
        k.scale(total[half], shrink);
        for s in scores {
            for s in [s[2 * half], s[2 * half + 1]] {
                let p = k.sub_real(s, level);
                let p = k.exp2(p);
                k.set_real(s, p);
                let sum = k.add_real(total[half], p);
                k.set_real(total[half], sum);
            }
        }
        for sum in sums {
            k.scale(sum[2 * half], shrink);
            k.scale(sum[2 * half + 1], shrink);
        }
    }
}

/// y and lse from the sums.
fn finish(
    k: &mut Kernel,
    h: &Head,
    [y, lse]: [Reg<Address>; 2],
    rows: [Reg<Word>; 2],
    sums: &[[Reg<Real>; 4]],
    (top, total): ([Reg<Real>; 2], [Reg<Real>; 2]),
) {
    k.comment("y and lse; a query that sees no key has 0");
    let y = h.matrix_of_width(k, y);
    let width = h.width(k);
    let lse = h.statistics(k, lse);
    let factors = [0, 1].map(|half| {
        let total = of_row(k, total[half], |k, x, y| k.add_real(x, y));
        let blind = k.compare_real(total, Is::Eq, 0.0);
        let share = k.reciprocal(total);
        let share = k.mul_real(share, h.keep);
        let bits = k.log2(total);
        let bits = k.add_real(bits, top[half]);
        let nats = k.mul_real(bits, std::f32::consts::LN_2);
        let nats = k.select_real(blind, 0.0, nats);
        let down = k.wide(rows[half], 4);
        let at = k.move_on(lse, down);
        let first = k.compare(h.pair, Is::Eq, 0);
        let mine = k.compare_and(rows[half], Is::Lt, h.queries, first);
        k.only_if(mine, |k| k.store(at, nats));
        k.select_real(blind, 0.0, share)
    });
    write_rows(k, y, width, [rows, [h.queries; 2]], h.pair, sums, factors);
}

pub(super) fn entry(format: Format, d: u32) -> String {
    let bytes = tile(ROWS, d).bytes();
    let k = &mut Kernel::new(
        format,
        format!("attention_{}_forward_{d}", format.name()),
        THREADS,
        3 * bytes,
    );
    let [q, keys, values, mask, y, lse] =
        ["q", "k", "v", "mask", "y", "lse"].map(|name| k.pointer(name));
    let h = Head::new(k, d, "key_rows");
    let zero = k.variable(0);
    let from_q = h.source(k, q, [h.queries, h.stride], ROWS, h.first);
    // Samples of k and v are key_rows apart, but no more than `keys` rows are there.
    let walk = |k: &mut Kernel, at| {
        let matrix = h.matrix(k, at, [h.other, h.stride], 1);
        super::Source::new(
            k,
            tile(ROWS, d),
            [THREADS, 1],
            h.thread,
            matrix,
            h.stride,
            [h.keys, h.columns],
            [zero, zero],
        )
    };
    let (from_k, from_v) = (walk(k, keys), walk(k, values));
    let (k_at, v_at) = (k.add(h.memory, bytes), k.add(h.memory, 2 * bytes));

    k.comment("the queries of the block, then of the warp; the first keys");
    from_q.copy(k, h.memory);
    k.commit();
    from_k.copy(k, k_at);
    k.commit();
    from_k.down(k, ROWS);
    k.wait(1);
    k.barrier();
    let own = h.own_fragments(k, h.memory);
    let q = h.load_all(k, own);
    k.barrier();
    let j0 = k.variable(0);
    h.write_flags(k, mask, h.memory, j0, ROWS);

    k.comment("what each row sees, and where the walk ends");
    let rows = h.own_rows(k);
    let (last, end) = h.walk(k, rows);
    let lane = tile(ROWS, d).one_by_one(k, h.lane, None, None);
    let k_fragments = k.add(k_at, lane);
    let lane = tile(ROWS, d).side_by_side(k, h.lane, None, None);
    let v_fragments = k.add(v_at, lane);
    let flags = k.mad(h.pair, 4, h.memory);
    let sums = zeros(k, d / 8);
    let top = [(); 2].map(|()| k.real_variable(f32::NEG_INFINITY));
    let total = [(); 2].map(|()| k.real_variable(0.0));

    let (begin, over) = (k.label("TILE"), k.label("TILES_END"));
    k.place(begin);
    let done = k.compare(j0, Is::Ge, end);
    k.jump_if(done, over);
    k.wait(0);
    k.barrier();
    from_v.copy(k, v_at);
    k.commit();
    from_v.down(k, ROWS);
    k.comment("scores");
    let scores = zeros(k, ROWS / 8);
    times_transpose(k, &scores, d, |_, part| q[part as usize], k_fragments);
    mask_scores(k, &h, &scores, flags, j0, last);
    k.comment("streaming softmax");
    streaming_softmax(k, &scores, &sums, top, total);
    drop_by_row(k, &h, &scores, j0, rows);
    let p = fragments(k, &scores);
    k.wait(0);
    k.barrier();
    from_k.copy(k, k_at);
    k.commit();
    from_k.down(k, ROWS);
    k.increase(j0, ROWS);
    h.write_flags(k, mask, h.memory, j0, ROWS);
    k.comment("weighted values");
    times(k, &sums, d, &p, v_fragments);
    k.jump(begin);
    k.place(over);

    finish(k, &h, [y, lse], rows, &sums, (top, total));
    k.finish()
}

/// s <- s scale log2(e) + flag, or -infinity beyond the last key that the row sees.
pub(super) fn mask_scores(
    k: &mut Kernel,
    h: &Head,
    scores: &[[Reg<Real>; 4]],
    flags: Reg<Word>,
    j0: Reg<Word>,
    last: [Reg<Word>; 2],
) {
    let first = k.add(j0, h.pair);
    for (tile, s) in (0..).zip(scores) {
        let flag = k.load_shared_pair(flags, 32 * tile);
        for column in 0..2 {
            let key = k.add(first, 8 * tile + column);
            let flag = flag[column as usize];
            for half in 0..2 {
                let s = s[(2 * half + column) as usize];
                let score = k.fma(s, h.factor, flag);
                let sees = k.compare(key, Is::Le, last[half as usize]);
                let score = k.select_real(sees, score, f32::NEG_INFINITY);
                k.set_real(s, score);
            }
        }
    }
}

/// Dropout where rows are queries: the four words of a Philox block belong to four neighbouring tiles of 8 keys.
pub(super) fn drop_by_row(
    k: &mut Kernel,
    h: &Head,
    weights: &[[Reg<Real>; 4]],
    j0: Reg<Word>,
    rows: [Reg<Word>; 2],
) {
    let first = k.shr(j0, 2);
    let first = k.add(first, h.pair);
    let mut blocks = vec![];
    for (group, tiles) in (0..).zip(weights.chunks(4)) {
        for column in 0..2 {
            let block = k.add(first, 8 * group + column);
            for half in 0..2 {
                let position = k.add(rows[half], h.offset);
                let of = |t: &[Reg<Real>; 4]| t[2 * half + column as usize];
                blocks.push(([block, position], tiles.iter().map(of).collect()));
            }
        }
    }
    h.drop_out(k, &blocks, |_, words| words.to_vec());
}
