//! The gradient of the queries.

use super::super::builder::{Address, Format, Is, Kernel, Real, Reg};
use super::forward::{drop_by_row, mask_scores};
use super::{
    Head, LOG2_E, ROWS, THREADS, fragments, tile, times, times_transpose, walked, write_rows, zeros,
};

pub(super) fn entry(format: Format, d: u32) -> String {
    let (bytes, step) = (tile(ROWS, d).bytes(), walked(d));
    let walked_bytes = tile(step, d).bytes();
    let shared = 2 * bytes + 2 * walked_bytes;
    let k = &mut Kernel::new(format, format!("attention_{}_q_{d}", format.name()), THREADS, shared);
    let [q, keys, values, mask, lse, dot, gy, gq] =
        ["q", "k", "v", "mask", "lse", "dot", "gy", "gq"].map(|name| k.pointer(name));
    let h = Head::new(k, d, "grad_stride");
    let zero = k.variable(0);
    let width = h.width(k);
    let from_q = h.source(k, q, [h.queries, h.stride], ROWS, h.first);
    let from_gy = h.source(k, gy, [h.queries, width], ROWS, h.first);
    let from_k = h.source(k, keys, [h.keys, h.stride], step, zero);
    let from_v = h.source(k, values, [h.keys, h.stride], step, zero);
    let gy_at = k.add(h.memory, bytes);
    let k_at = k.add(gy_at, bytes);
    let v_at = k.add(k_at, walked_bytes);

    k.comment("the queries of the block, then of the warp; the gradients of their y; the first keys and values");
    from_q.copy(k, h.memory);
    k.commit();
    from_gy.copy(k, gy_at);
    from_k.copy(k, k_at);
    from_v.copy(k, v_at);
    k.commit();
    from_k.down(k, step);
    from_v.down(k, step);
    k.wait(1);
    k.barrier();
    let own = h.own_fragments(k, h.memory);
    let q = h.load_all(k, own);
    let gy_own = h.own_fragments(k, gy_at);
    k.barrier();
    let j0 = k.variable(0);
    h.write_flags(k, mask, h.memory, j0, step);

    k.comment("what each row sees, its lse (in bits) and D, and where the walk ends");
    let rows = h.own_rows(k);
    let (last, end) = h.walk(k, rows);
    let (lse, dot) = (h.statistics(k, lse), h.statistics(k, dot));
    let of_row = |k: &mut Kernel, at: Reg<Address>, half: usize| -> Reg<Real> {
        let inside = k.compare(rows[half], Is::Lt, h.queries);
        let down = k.wide(rows[half], 4);
        let at = k.move_on(at, down);
        let x = k.real_variable(0.0);
        k.only_if(inside, |k| k.load_into(x, at));
        x
    };
    let level = [0, 1].map(|half| {
        let x = of_row(k, lse, half);
        k.mul_real(x, LOG2_E)
    });
    let dots = [0, 1].map(|half| of_row(k, dot, half));
    let lane = tile(step, d).one_by_one(k, h.lane, None, None);
    let (k_rows, v_rows) = (k.add(k_at, lane), k.add(v_at, lane));
    let lane = tile(step, d).side_by_side(k, h.lane, None, None);
    let k_columns = k.add(k_at, lane);
    let flags = k.mad(h.pair, 4, h.memory);
    let sums = zeros(k, d / 8);

    let (begin, over) = (k.label("TILE"), k.label("TILES_END"));
    k.place(begin);
    let done = k.compare(j0, Is::Ge, end);
    k.jump_if(done, over);
    k.wait(0);
    k.barrier();
    k.comment("probabilities");
    let scores = zeros(k, step / 8);
    times_transpose(k, &scores, d, |_, part| q[part as usize], k_rows);
    mask_scores(k, &h, &scores, flags, j0, last);
    for s in &scores {
        for (i, s) in s.iter().enumerate() {
            let x = k.sub_real(*s, level[i / 2]);
            let p = k.exp2(x);
            k.set_real(*s, p);
        }
    }
    k.comment("gy v^T, dropped where the weight was");
    let products = zeros(k, step / 8);
    let gy = |k: &mut Kernel, part: u32| {
        let here = if part == 0 { gy_own } else { k.xor(gy_own, 32 * part) };
        k.load_matrices(here, 0, false)
    };
    times_transpose(k, &products, d, gy, v_rows);
    drop_by_row(k, &h, &products, j0, rows);
    k.comment("p (m gy v^T - D)");
    gradient_of_scores(k, &h, [&scores, &products], dots);
    let gs = fragments(k, &scores);
    times(k, &sums, d, &gs, k_columns);
    k.barrier();
    from_k.copy(k, k_at);
    from_v.copy(k, v_at);
    k.commit();
    from_k.down(k, step);
    from_v.down(k, step);
    k.increase(j0, step);
    h.write_flags(k, mask, h.memory, j0, step);
    k.jump(begin);
    k.place(over);

    k.comment("the gradient");
    let gq = h.matrix(k, gq, [h.queries, h.other], 2);
    write_rows(k, gq, h.other, [rows, [h.queries; 2]], h.pair, &sums, [h.scale; 2]);
    k.finish()
}

/// p (m gy v - D).
fn gradient_of_scores(
    k: &mut Kernel,
    h: &Head,
    [p, products]: [&[[Reg<Real>; 4]]; 2],
    dots: [Reg<Real>; 2],
) {
    for (s, g) in p.iter().zip(products) {
        for i in 0..4 {
            let x = k.mul_real(g[i], h.keep);
            let x = k.sub_real(x, dots[i / 2]);
            k.scale(s[i], x);
        }
    }
}
