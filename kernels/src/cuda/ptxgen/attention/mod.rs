//! Attention on tensor cores, forward and backward, for heads of 32, 64 and 128 columns.
//!
//! A warp has 16 rows, queries or keys. The sums that `mma` leaves in its lanes (rows `lane / 4` and 8 more, columns
//! `2 (lane % 4)` and the next) are, rounded to 16 bits, the fragments that the next `mma` wants: probabilities never leave the
//! registers.

mod forward;
mod keys;
mod queries;

use super::builder::{Address, Format, Is, Kernel, Real, Reg, Word};
use super::tile::{Source, Swizzle, Tile};

pub(super) use forward::lesson as forward_lesson;

/// Columns of a head for which there is an entry.
const HEADS: [u32; 3] = [32, 64, 128];
const THREADS: u32 = 128;
/// Rows of a block: four warps of 16.
const ROWS: u32 = 64;
const LOG2_E: f32 = std::f32::consts::LOG2_E;

pub(super) fn forward_entries(format: Format) -> Vec<String> {
    HEADS.iter().map(|d| forward::entry(format, *d)).collect()
}

pub(super) fn backward_entries(format: Format) -> Vec<String> {
    let queries = HEADS.iter().map(|d| queries::entry(format, *d));
    queries.chain(HEADS.iter().map(|d| keys::entry(format, *d))).collect()
}

pub(super) fn backward_lesson(format: Format) -> String {
    "\
The gradients of attention on tensor cores (Dao 2023): see attention_HALF_forward.ptx and attention.ptx.

    p_ij = exp(s_ij - lse_i),   gs_ij = p_ij (m_ij gy_i . v_j - D_i),   D_i = gy_i . y_i  (attention_dot)
    gq_i = scale sum_j gs_ij k_j,   gk_j = scale sum_i gs_ij q_i,   gv_j = sum_i m_ij p_ij gy_i

q, k, v and gy are HALF, rows of 16-byte multiples; gq, gk, gv, lse and dot are f32.

attention_HALF_q_*: a block has 64 queries and walks over the keys; attention_HALF_kv_*: a block has 64 keys and walks over
the queries. Each sum is owned by one warp, so its order is the same in every run and nothing is added atomically; the
price is that scores and gy . v are made twice, seven products instead of five. Launch: grid (rows / 64 rounded up, heads,
batch), 128 threads.

The second kernel makes the transposes: rows are keys, so the fragments of p^T and gs^T come out as those of m and gs do
in the first. lse and dot of the queries of a tile go through shared memory; a query beyond the last has lse = infinity,
and so p = 0.

Shared memory: a tile of 64 rows each of q and gy (of k and v), a tile of 64, or of 32 rows for heads of 128 columns, each
of k and v (of q and gy). The rows that stay are loaded to registers at once (q, k) or read again (gy, v); where q (k) was,
there is room for the flags of the keys (for lse and dot). Two barriers a tile: it has come, it may be overwritten."
        .replace("HALF", format.name())
}

/// The tile of so many rows of a head.
fn tile(rows: u32, d: u32) -> Tile {
    Tile { rows, row_bytes: 2 * d, swizzle: Swizzle::Matrix }
}

/// Rows of the tiles that a backward kernel walks over.
fn walked(d: u32) -> u32 {
    if d == 128 { 32 } else { 64 }
}

/// Two words of a Philox counter, and the weights that its random words decide on.
type Drawn = ([Reg<Word>; 2], Vec<Reg<Real>>);

/// What the entries share: who this thread is, and which head it works on.
struct Head {
    d: u32,
    thread: Reg<Word>,
    lane: Reg<Word>,
    warp: Reg<Word>,
    /// lane / 4: the row in a fragment.
    group: Reg<Word>,
    /// 2 (lane % 4): the column.
    pair: Reg<Word>,
    memory: Reg<Word>,
    /// The first row of the block.
    first: Reg<Word>,
    head: Reg<Word>,
    sample: Reg<Word>,
    queries: Reg<Word>,
    keys: Reg<Word>,
    heads: Reg<Word>,
    stride: Reg<Word>,
    /// key_rows or grad_stride.
    other: Reg<Word>,
    causal: Reg<Word>,
    /// Query i stands at key position i + offset.
    offset: Reg<Word>,
    scale: Reg<Real>,
    /// scale log2(e)
    factor: Reg<Real>,
    dropout: [Reg<Word>; 3],
    first_sample: Reg<Word>,
    keep: Reg<Real>,
    /// A number of columns, as a register.
    columns: Reg<Word>,
}

impl Head {
    /// The parameters after the pointers.
    fn new(k: &mut Kernel, d: u32, other: &'static str) -> Self {
        let [queries, keys, heads, stride] =
            ["queries", "keys", "heads", "stride"].map(|name| k.word(name));
        let other = k.word(other);
        let causal = k.word("causal");
        let scale = k.real("scale");
        let dropout = ["key0", "key1", "threshold"].map(|name| k.word(name));
        let first_sample = k.word("first_sample");
        let keep = k.real("keep");
        let thread = k.special("%tid.x");
        let lane = k.and(thread, 31);
        let warp = k.shr(thread, 5);
        let group = k.shr(lane, 2);
        let pair = k.and(lane, 3);
        let pair = k.shl(pair, 1);
        let memory = k.shared();
        let first = k.special("%ctaid.x");
        let first = k.shl(first, ROWS.ilog2());
        let head = k.special("%ctaid.y");
        let sample = k.special("%ctaid.z");
        let more = k.max(keys, queries);
        let offset = k.sub(more, queries);
        let factor = k.mul_real(scale, LOG2_E);
        let columns = k.variable(d);
        Self {
            d,
            thread,
            lane,
            warp,
            group,
            pair,
            memory,
            first,
            head,
            sample,
            queries,
            keys,
            heads,
            stride,
            other,
            causal,
            offset,
            scale,
            factor,
            dropout,
            first_sample,
            keep,
            columns,
        }
    }

    /// Element 0 of this sample and head of an array whose samples have `rows` rows, `stride` elements apart.
    fn matrix(
        &self,
        k: &mut Kernel,
        at: Reg<Address>,
        [rows, stride]: [Reg<Word>; 2],
        shift: u32,
    ) -> Reg<Address> {
        let row = k.mul(self.sample, rows);
        let down = k.distance(row, stride, shift);
        let right = k.distance(self.head, self.d, shift);
        let at = k.move_on(at, down);
        k.move_on(at, right)
    }

    /// Rows of such a matrix from `first` on, to be copied tile by tile.
    fn source(
        &self,
        k: &mut Kernel,
        at: Reg<Address>,
        [rows, stride]: [Reg<Word>; 2],
        tile_rows: u32,
        first: Reg<Word>,
    ) -> Source {
        let matrix = self.matrix(k, at, [rows, stride], 1);
        let none = k.variable(0);
        let tile = tile(tile_rows, self.d);
        Source::new(
            k,
            tile,
            [THREADS, 1],
            self.thread,
            matrix,
            stride,
            [rows, self.columns],
            [first, none],
        )
    }

    /// Columns of a row of y and gy.
    fn width(&self, k: &mut Kernel) -> Reg<Word> {
        k.mul(self.heads, self.d)
    }

    /// Element 0 of this sample and head of y, in f32.
    fn matrix_of_width(&self, k: &mut Kernel, at: Reg<Address>) -> Reg<Address> {
        let width = self.width(k);
        self.matrix(k, at, [self.queries, width], 2)
    }

    /// lse or dot of query 0 of this sample and head.
    fn statistics(&self, k: &mut Kernel, at: Reg<Address>) -> Reg<Address> {
        let row = k.mad(self.sample, self.heads, self.head);
        let distance = k.distance(row, self.queries, 2);
        k.move_on(at, distance)
    }

    /// The two rows of this thread among those of the block.
    fn own_rows(&self, k: &mut Kernel) -> [Reg<Word>; 2] {
        let row = k.mad(self.warp, 16, self.group);
        let row = k.add(row, self.first);
        [row, k.add(row, 8)]
    }

    /// The fragments of the warp's 16 rows of a tile at `at`.
    fn own_fragments(&self, k: &mut Kernel, at: Reg<Word>) -> Reg<Word> {
        let first = k.shl(self.warp, 4);
        let lane = tile(ROWS, self.d).side_by_side(k, self.lane, Some(first), None);
        k.add(at, lane)
    }

    /// All fragments from there on, which stay in registers.
    fn load_all(&self, k: &mut Kernel, own: Reg<Word>) -> Vec<[Reg<Word>; 4]> {
        let load = |part| {
            let here = if part == 0 { own } else { k.xor(own, 32 * part) };
            k.load_matrices(here, 0, false)
        };
        (0..self.d / 16).map(load).collect()
    }

    /// The last key that each of two queries sees, and where the walk of the block over the keys ends.
    fn walk(&self, k: &mut Kernel, rows: [Reg<Word>; 2]) -> ([Reg<Word>; 2], Reg<Word>) {
        let free = k.compare(self.causal, Is::Eq, 0);
        let last = rows.map(|row| {
            let position = k.add(row, self.offset);
            k.select(free, u32::MAX, position)
        });
        let end = k.add(self.first, self.offset);
        let end = k.add(end, ROWS);
        let end = k.min(end, self.keys);
        (last, k.select(free, self.keys, end))
    }

    /// Writes for each key of a tile what is added to its scores: 0, or -infinity if it is padding or beyond the last.
    fn write_flags(
        &self,
        k: &mut Kernel,
        mask: Reg<Address>,
        at: Reg<Word>,
        first: Reg<Word>,
        rows: u32,
    ) {
        let key = k.add(first, self.thread);
        let flag = self.flag(k, mask, key);
        let low = k.compare(self.thread, Is::Lt, rows);
        let at = k.mad(self.thread, 4, at);
        k.only_if(low, |k| k.store_shared(at, flag));
    }

    /// What is added to the scores of a key.
    fn flag(&self, k: &mut Kernel, mask: Reg<Address>, key: Reg<Word>) -> Reg<Real> {
        let inside = k.compare(key, Is::Lt, self.keys);
        let there = k.is_there(mask);
        let read = k.both(inside, there);
        let row = k.mul(self.sample, self.keys);
        let row = k.add(row, key);
        let distance = k.wide(row, 4);
        let at = k.move_on(mask, distance);
        let word = k.variable(1);
        k.only_if(read, |k| k.load_word_into(word, at));
        let seen = k.compare_and(word, Is::Ne, 0, inside);
        k.select_real(seen, 0.0, f32::NEG_INFINITY)
    }

    /// Sets to 0 the weights that are dropped. A block is the first two words of a Philox counter, and the weights of those
    /// of its random words that `words` picks.
    fn drop_out(
        &self,
        k: &mut Kernel,
        blocks: &[Drawn],
        words: impl Fn(&mut Kernel, [Reg<Word>; 4]) -> Vec<Reg<Word>>,
    ) {
        let skip = k.label("KEPT");
        let without = k.compare(self.dropout[2], Is::Eq, 0);
        k.jump_if(without, skip);
        let sample = k.add(self.sample, self.first_sample);
        for ([block, position], weights) in blocks {
            let random = philox(
                k,
                [*block, *position, self.head, sample],
                [self.dropout[0], self.dropout[1]],
            );
            let random = words(k, random);
            for (word, weight) in random.iter().zip(weights) {
                let drop = k.compare(*word, Is::Lt, self.dropout[2]);
                k.only_if(drop, |k| k.set_real(*weight, 0.0));
            }
        }
        k.place(skip);
    }
}

/// Philox 4x32-10 (Salmon et al. 2011), in a loop.
fn philox(k: &mut Kernel, counter: [Reg<Word>; 4], key: [Reg<Word>; 2]) -> [Reg<Word>; 4] {
    let c = counter.map(|c| k.variable(c));
    let key = key.map(|c| k.variable(c));
    let round = k.variable(0);
    let again = k.label("ROUND");
    k.place(again);
    let (h0, l0) = (k.mul_high(c[0], 0xD251_1F53), k.mul(c[0], 0xD251_1F53));
    let (h1, l1) = (k.mul_high(c[2], 0xCD9E_8D57), k.mul(c[2], 0xCD9E_8D57));
    let first = k.xor(h1, c[1]);
    let first = k.xor(first, key[0]);
    let third = k.xor(h0, c[3]);
    let third = k.xor(third, key[1]);
    for (to, x) in c.into_iter().zip([first, l1, third, l0]) {
        k.set(to, x);
    }
    k.increase(key[0], 0x9E37_79B9);
    k.increase(key[1], 0xBB67_AE85);
    k.increase(round, 1);
    let more = k.compare(round, Is::Lt, 10);
    k.jump_if(more, again);
    c
}

/// n tiles of sums, all 0.
fn zeros(k: &mut Kernel, n: u32) -> Vec<[Reg<Real>; 4]> {
    (0..n).map(|_| std::array::from_fn(|_| k.real_variable(0.0))).collect()
}

/// sums `[16, rows]` += A B^T for B `[rows, d]` in shared memory; `b` is the address of [`Tile::one_by_one`], `a` gives the
/// fragments of A for each 16 columns.
fn times_transpose(
    k: &mut Kernel,
    sums: &[[Reg<Real>; 4]],
    d: u32,
    mut a: impl FnMut(&mut Kernel, u32) -> [Reg<Word>; 4],
    b: Reg<Word>,
) {
    for part in 0..d / 16 {
        let a = a(k, part);
        let here = if part == 0 { b } else { k.xor(b, 32 * part) };
        for (at, two) in (0..).zip(sums.chunks(2)) {
            let [x, y, z, w] = k.load_matrices(here, 32 * at * d, false);
            k.multiply(&two[0], &a, [x, y]);
            k.multiply(&two[1], &a, [z, w]);
        }
    }
}

/// sums `[16, d]` += A B for B `[rows, d]` in shared memory; `b` is the address of [`Tile::side_by_side`].
fn times(k: &mut Kernel, sums: &[[Reg<Real>; 4]], d: u32, a: &[[Reg<Word>; 4]], b: Reg<Word>) {
    for (at, two) in (0..).zip(sums.chunks(2)) {
        let here = if at == 0 { b } else { k.xor(b, 32 * at) };
        for (part, a) in (0..).zip(a) {
            let [x, y, z, w] = k.load_matrices(here, 32 * part * d, true);
            k.multiply(&two[0], a, [x, y]);
            k.multiply(&two[1], a, [z, w]);
        }
    }
}

/// Sums of 16 x 8 as fragments of 16 x 16.
fn fragments(k: &mut Kernel, sums: &[[Reg<Real>; 4]]) -> Vec<[Reg<Word>; 4]> {
    let halves = |k: &mut Kernel, s: &[Reg<Real>; 4]| [k.pack(s[0], s[1]), k.pack(s[2], s[3])];
    let both = |two: &[[Reg<Real>; 4]]| {
        let ([a, b], [c, d]) = (halves(k, &two[0]), halves(k, &two[1]));
        [a, b, c, d]
    };
    sums.chunks(2).map(both).collect()
}

/// Writes the two rows of this thread of sums `[16, d]`, each number times its row's factor.
fn write_rows(
    k: &mut Kernel,
    at: Reg<Address>,
    stride: Reg<Word>,
    [rows, limit]: [[Reg<Word>; 2]; 2],
    pair: Reg<Word>,
    sums: &[[Reg<Real>; 4]],
    factors: [Reg<Real>; 2],
) {
    for half in 0..2 {
        let skip = k.label("WRITTEN");
        let beyond = k.compare(rows[half], Is::Ge, limit[half]);
        k.part_if(beyond, skip);
        let down = k.distance(rows[half], stride, 2);
        let right = k.wide(pair, 4);
        let to = k.move_on(at, down);
        let to = k.move_on(to, right);
        for (column, sum) in (0..).zip(sums) {
            let two = [sum[2 * half], sum[2 * half + 1]].map(|x| k.mul_real(x, factors[half]));
            k.store_pair(to, 32 * column, two);
        }
        k.place(skip);
    }
}
