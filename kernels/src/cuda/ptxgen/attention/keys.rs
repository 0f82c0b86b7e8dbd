//! The gradients of keys and values: the transposes of `queries`, rows are keys.

use super::super::builder::{Address, Format, Is, Kernel, Real, Reg, Word};
use super::{
    Head, LOG2_E, ROWS, THREADS, fragments, tile, times, times_transpose, walked, write_rows, zeros,
};

pub(super) fn entry(format: Format, d: u32) -> String {
    let (bytes, step) = (tile(ROWS, d).bytes(), walked(d));
    let walked_bytes = tile(step, d).bytes();
    let shared = 2 * bytes + 2 * walked_bytes;
    let k =
        &mut Kernel::new(format, format!("attention_{}_kv_{d}", format.name()), THREADS, shared);
    let [q, keys, values, mask, lse, dot, gy, gk, gv] =
        ["q", "k", "v", "mask", "lse", "dot", "gy", "gk", "gv"].map(|name| k.pointer(name));
    let h = Head::new(k, d, "grad_stride");
    let width = h.width(k);

    k.comment("causal: the first tile of queries that see a key of this block");
    let free = k.compare(h.causal, Is::Eq, 0);
    let position = k.max(h.first, h.offset);
    let i0 = k.sub(position, h.offset);
    let i0 = k.select(free, 0, i0);
    let i0 = k.and(i0, !(step - 1));
    let from_k = h.source(k, keys, [h.keys, h.stride], ROWS, h.first);
    let from_v = h.source(k, values, [h.keys, h.stride], ROWS, h.first);
    let from_q = h.source(k, q, [h.queries, h.stride], step, i0);
    let from_gy = h.source(k, gy, [h.queries, width], step, i0);
    let v_at = k.add(h.memory, bytes);
    let q_at = k.add(v_at, bytes);
    let gy_at = k.add(q_at, walked_bytes);

    k.comment("the keys of the block, then of the warp; their values; the first queries");
    from_k.copy(k, h.memory);
    k.commit();
    from_v.copy(k, v_at);
    from_q.copy(k, q_at);
    from_gy.copy(k, gy_at);
    k.commit();
    from_q.down(k, step);
    from_gy.down(k, step);
    k.wait(1);
    k.barrier();
    let own = h.own_fragments(k, h.memory);
    let keys = h.load_all(k, own);
    let v_own = h.own_fragments(k, v_at);
    k.barrier();
    let (lse, dot) = (h.statistics(k, lse), h.statistics(k, dot));
    write_statistics(k, &h, [lse, dot], i0, step);

    k.comment("whether each row is there, and the first query that sees it");
    let rows = h.own_rows(k);
    let flags = rows.map(|row| h.flag(k, mask, row));
    let lowest = rows.map(|row| {
        let position = k.max(row, h.offset);
        let first = k.sub(position, h.offset);
        k.select(free, 0, first)
    });
    let lane = tile(step, d).one_by_one(k, h.lane, None, None);
    let (q_rows, gy_rows) = (k.add(q_at, lane), k.add(gy_at, lane));
    let lane = tile(step, d).side_by_side(k, h.lane, None, None);
    let (q_columns, gy_columns) = (k.add(q_at, lane), k.add(gy_at, lane));
    let statistics = k.mad(h.pair, 8, h.memory);
    let (k_sums, v_sums) = (zeros(k, d / 8), zeros(k, d / 8));

    let (begin, over) = (k.label("TILE"), k.label("TILES_END"));
    k.place(begin);
    let done = k.compare(i0, Is::Ge, h.queries);
    k.jump_if(done, over);
    k.wait(0);
    k.barrier();
    k.comment("probabilities");
    let p = zeros(k, step / 8);
    times_transpose(k, &p, d, |_, part| keys[part as usize], q_rows);
    let first = k.add(i0, h.pair);
    probabilities(k, &h, &p, statistics, first, (flags, lowest));
    k.comment("v gy^T");
    let products = zeros(k, step / 8);
    let v = |k: &mut Kernel, part: u32| {
        let here = if part == 0 { v_own } else { k.xor(v_own, 32 * part) };
        k.load_matrices(here, 0, false)
    };
    times_transpose(k, &products, d, v, gy_rows);
    k.comment("what was dropped: 0 in the product, and in a copy of the weights");
    let weights: Vec<[Reg<Real>; 4]> = p.iter().map(|s| s.map(|x| k.real_variable(x))).collect();
    drop_by_column(k, &h, [&products, &weights], first);
    k.comment("p (m gy v^T - D)");
    gradient_of_scores(k, &h, [&p, &products], statistics);
    let weights = fragments(k, &weights);
    times(k, &v_sums, d, &weights, gy_columns);
    let gs = fragments(k, &p);
    times(k, &k_sums, d, &gs, q_columns);
    k.barrier();
    from_q.copy(k, q_at);
    from_gy.copy(k, gy_at);
    k.commit();
    from_q.down(k, step);
    from_gy.down(k, step);
    k.increase(i0, step);
    write_statistics(k, &h, [lse, dot], i0, step);
    k.jump(begin);
    k.place(over);

    k.comment("the gradients");
    let [gk, gv] = [gk, gv].map(|at| h.matrix(k, at, [h.keys, h.other], 2));
    write_rows(k, gk, h.other, [rows, [h.keys; 2]], h.pair, &k_sums, [h.scale; 2]);
    write_rows(k, gv, h.other, [rows, [h.keys; 2]], h.pair, &v_sums, [h.keep; 2]);
    k.finish()
}

/// lse (in bits) and D of the queries of a tile, side by side; beyond the last, infinity and 0.
fn write_statistics(
    k: &mut Kernel,
    h: &Head,
    [lse, dot]: [Reg<Address>; 2],
    first: Reg<Word>,
    rows: u32,
) {
    let query = k.add(first, h.thread);
    let inside = k.compare(query, Is::Lt, h.queries);
    let distance = k.wide(query, 4);
    let (lse, dot) = (k.move_on(lse, distance), k.move_on(dot, distance));
    let (level, d) = (k.real_variable(f32::INFINITY), k.real_variable(0.0));
    k.only_if(inside, |k| k.load_into(level, lse));
    k.only_if(inside, |k| k.load_into(d, dot));
    k.scale(level, LOG2_E);
    let low = k.compare(h.thread, Is::Lt, rows);
    let at = k.mad(h.thread, 8, h.memory);
    k.only_if(low, |k| k.store_shared_pair(at, 0, [level, d]));
}

/// Dropout where rows are keys: a warp's two rows are two neighbouring words of the block of a query.
fn drop_by_column(k: &mut Kernel, h: &Head, both: [&[[Reg<Real>; 4]]; 2], first_query: Reg<Word>) {
    // The warp's 16 keys are the first or the second half of 32.
    let block = k.shr(h.first, 2);
    let pair_of_warps = k.shr(h.warp, 1);
    let block = k.mad(pair_of_warps, 8, block);
    let block = k.add(block, h.group);
    let odd = k.and(h.warp, 1);
    let second = k.compare(odd, Is::Ne, 0);
    let mut blocks = vec![];
    for tile in 0..both[0].len() {
        for column in 0..2 {
            let query = k.add(first_query, u32::try_from(8 * tile + column).unwrap_or(u32::MAX));
            let position = k.add(query, h.offset);
            let of = |half: usize| both.map(|sums| sums[tile][2 * half + column]);
            blocks.push(([block, position], [of(0), of(1)].concat()));
        }
    }
    h.drop_out(k, &blocks, |k, [a, b, c, d]| {
        let (upper, lower) = (k.select(second, c, a), k.select(second, d, b));
        vec![upper, upper, lower, lower]
    });
}

/// p from the scores of a tile of queries.
fn probabilities(
    k: &mut Kernel,
    h: &Head,
    p: &[[Reg<Real>; 4]],
    statistics: Reg<Word>,
    first: Reg<Word>,
    (flags, lowest): ([Reg<Real>; 2], [Reg<Word>; 2]),
) {
    for (tile, s) in (0..).zip(p) {
        for column in 0..2 {
            let query = k.add(first, 8 * tile + column);
            let level = k.load_shared(statistics, 64 * tile + 8 * column);
            for half in 0..2 {
                let s = s[(2 * half + column) as usize];
                let score = k.fma(s, h.factor, flags[half as usize]);
                let score = k.sub_real(score, level);
                let x = k.exp2(score);
                let seen = k.compare(query, Is::Ge, lowest[half as usize]);
                let x = k.select_real(seen, x, 0.0);
                k.set_real(s, x);
            }
        }
    }
}

/// p (m gy v - D).
fn gradient_of_scores(
    k: &mut Kernel,
    h: &Head,
    [p, products]: [&[[Reg<Real>; 4]]; 2],
    statistics: Reg<Word>,
) {
    for (tile, (s, g)) in (0..).zip(p.iter().zip(products)) {
        for column in 0..2 {
            let dot = k.load_shared(statistics, 64 * tile + 8 * column + 4);
            for i in [column as usize, 2 + column as usize] {
                let x = k.mul_real(g[i], h.keep);
                let x = k.sub_real(x, dot);
                k.scale(s[i], x);
            }
        }
    }
}
