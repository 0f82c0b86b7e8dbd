//! Products on tensor cores.

use super::builder::{Address, Format, Is, Kernel, Label, Real, Reg, Word};
use super::tile::{Source, Swizzle, Tile};

/// Rows and columns of C that a block makes.
const BLOCK: u32 = 128;
/// Bytes of k that a stage holds: 32 numbers of bf16 or f16, 16 of tf32.
const STEP_BYTES: u32 = 64;
const STAGES: u32 = 3;
const THREADS: u32 = 256;
/// Words from row to row of C in shared memory: 8 more than 128, so that four rows of eight words have all banks.
const ROW: u32 = BLOCK + 8;

/// How the operands lie: A `[m, k]` or `[k, m]`, B `[k, n]` or `[n, k]`.
#[derive(Clone, Copy)]
struct Layout {
    name: &'static str,
    /// A is `[k, m]`.
    a_down: bool,
    /// B is `[k, n]`.
    b_down: bool,
}

const LAYOUTS: [Layout; 3] = [
    Layout { name: "nn", a_down: false, b_down: true },
    Layout { name: "nt", a_down: false, b_down: false },
    Layout { name: "tn", a_down: true, b_down: true },
];

pub(super) fn lesson(format: Format) -> String {
    let half = format.half();
    let (name, bytes, step) = (format.name(), 1 << format.shift(), STEP_BYTES >> format.shift());
    let (mma, fragments) = match format {
        Format::F16 | Format::Bf16 => (
            "m16n8k16",
            "ldmatrix reads four 8 x 8 matrices of fragments at a time, transposed where k runs down the rows.",
        ),
        Format::Tf32 => (
            "m16n8k8",
            "ldmatrix reads fragments of 8 rows of 16 bytes; where k runs down the rows it cannot transpose words, and\n\
             each lane reads its own. cvt.rna rounds each number to the ten bits of tf32 (the tensor core would cut).",
        ),
    };
    format!(
        "Products on tensor cores, {name}: C = act(alpha A B + bias) + beta R, for a batch of matrices.\n\n    \
         act: nothing, or GELU (its tanh form) x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3)))\n\n\
         gemm_{name}_nn: A [m, k], B [k, n].   gemm_{name}_nt: B [n, k].   gemm_{name}_tn: A [k, m], B [k, n].\n\
         Operands of {bytes} bytes, rows begin at multiples of 16 bytes (c_stride and the sizes may be anything). C goes to c\n\
         in single precision and to c16 in {half}; either may be null. R is f32 and lies like C, and may be C. bias [n] and\n\
         R may be null. Sums are kept in f32.\n\n\
         Launch: grid (n / 128, m / 128, batch), rounded up, 256 threads. A block makes 128 x 128 of C, a warp 64 x 32 of it:\n\
         4 x 4 tiles of mma {mma}, 64 sums in the registers of a lane. Of a step along k ({step} numbers) the block needs 128\n\
         rows of A and 128 columns of B, 8 KB each.\n\n\
         Shared memory, 48 KB: three stages of such a pair. While the block multiplies one, cp.async brings the next two;\n\
         one barrier a step says both that the next stage has come and that everybody is done with the last. What lies\n\
         outside the matrices is filled with zeros by cp.async and never read. Chunks of 16 bytes are swizzled\n\
         (kernels/src/cuda/ptxgen/tile.rs): no bank conflict.\n\
         {fragments}\n\n\
         At the end C goes through shared memory, half by half (64 rows of 136 words, 34 KB), so that a warp writes 32\n\
         neighbouring numbers. There bias, GELU and R are added.\n\n\
         Traffic: each number of A is loaded n / 128 times, each of B m / 128 times: {} operations a byte. The products of an\n\
         element are added in the order of k (within an mma in an order of the hardware's): the same bits in every run of a\n\
         device.",
        2 * 128 * 128 / (256 * bytes),
    )
}

pub(super) fn entries(format: Format) -> Vec<String> {
    LAYOUTS.iter().map(|layout| entry(format, *layout)).collect()
}

/// The tile of an operand with k along or down its rows.
fn tile(format: Format, down: bool) -> Tile {
    let step = STEP_BYTES >> format.shift();
    if down {
        let swizzle = if format == Format::Tf32 { Swizzle::Words } else { Swizzle::Matrix };
        Tile { rows: step, row_bytes: BLOCK << format.shift(), swizzle }
    } else {
        Tile { rows: BLOCK, row_bytes: STEP_BYTES, swizzle: Swizzle::Matrix }
    }
}

/// Bytes from the first of a tile to this thread's part of the first fragment. A warp begins at row or column `first`,
/// which is a multiple of 32.
fn fragment(
    k: &mut Kernel,
    format: Format,
    [is_b, down]: [bool; 2],
    lane: Reg<Word>,
    first: Reg<Word>,
) -> Reg<Word> {
    let tile = tile(format, down);
    match (format, down) {
        (_, false) if is_b => tile.one_by_one(k, lane, Some(first), None),
        (_, false) => tile.side_by_side(k, lane, Some(first), None),
        (Format::F16 | Format::Bf16, true) => {
            let chunk = k.shr(first, 3);
            if is_b {
                tile.side_by_side(k, lane, None, Some(chunk))
            } else {
                tile.one_by_one(k, lane, None, Some(chunk))
            }
        }
        (Format::Tf32, true) => {
            // word lane % 4 down, lane / 4 across
            let (row, across) = (k.and(lane, 3), k.shr(lane, 2));
            let column = k.add(first, across);
            let chunk = k.shr(column, 2);
            let word = k.and(column, 3);
            let at = tile.chunk(k, row, chunk);
            k.mad(word, 4, at)
        }
    }
}

/// Fragment `at` (16 rows) of A for part `part` of the step.
fn load_a(
    k: &mut Kernel,
    format: Format,
    down: bool,
    base: Reg<Word>,
    at: u32,
    part: u32,
) -> [Reg<Word>; 4] {
    let tile = tile(format, down);
    match (format, down) {
        (_, false) => {
            let here = if part == 0 { base } else { k.xor(base, 32 * part) };
            let a = k.load_matrices(here, 16 * at * tile.row_bytes, false);
            round(k, format, a)
        }
        (Format::F16 | Format::Bf16, true) => {
            let here = if at == 0 { base } else { k.xor(base, 32 * at) };
            k.load_matrices(here, 16 * part * tile.row_bytes, true)
        }
        (Format::Tf32, true) => {
            let upper = if at == 0 { base } else { k.xor(base, 64 * at) };
            let lower = k.xor(base, 64 * at + 32);
            let words = [(upper, 0), (lower, 0), (upper, 4), (lower, 4)];
            let a =
                words.map(|(at, row)| k.load_shared_word(at, (8 * part + row) * tile.row_bytes));
            round(k, format, a)
        }
    }
}

/// Fragments 2 `at` and 2 `at` + 1 (8 columns each) of B.
fn load_b(
    k: &mut Kernel,
    format: Format,
    down: bool,
    base: Reg<Word>,
    at: u32,
    part: u32,
) -> [[Reg<Word>; 2]; 2] {
    let tile = tile(format, down);
    let [a, b, c, d] = match (format, down) {
        (_, false) => {
            let here = if part == 0 { base } else { k.xor(base, 32 * part) };
            let b = k.load_matrices(here, 16 * at * tile.row_bytes, false);
            round(k, format, b)
        }
        (Format::F16 | Format::Bf16, true) => {
            let here = if at == 0 { base } else { k.xor(base, 32 * at) };
            k.load_matrices(here, 16 * part * tile.row_bytes, true)
        }
        (Format::Tf32, true) => {
            let left = if at == 0 { base } else { k.xor(base, 64 * at) };
            let right = k.xor(base, 64 * at + 32);
            let words = [(left, 0), (left, 4), (right, 0), (right, 4)];
            let b =
                words.map(|(at, row)| k.load_shared_word(at, (8 * part + row) * tile.row_bytes));
            round(k, format, b)
        }
    };
    [[a, b], [c, d]]
}

fn round(k: &mut Kernel, format: Format, words: [Reg<Word>; 4]) -> [Reg<Word>; 4] {
    if format != Format::Tf32 {
        return words;
    }
    words.map(|w| {
        let x = k.as_real(w);
        k.nearest_tf32(x)
    })
}

fn entry(format: Format, layout: Layout) -> String {
    let shift = format.shift();
    let step = STEP_BYTES >> shift;
    let (a_tile, b_tile) = (tile(format, layout.a_down), tile(format, layout.b_down));
    let stage_bytes = a_tile.bytes() + b_tile.bytes();
    let name = format!("gemm_{}_{}", format.name(), layout.name);
    let k = &mut Kernel::new(format, name, THREADS, STAGES * stage_bytes);
    let [a, b, c, c16, bias, residual] =
        ["a", "b", "c", "c16", "bias", "residual"].map(|name| k.pointer(name));
    let [m, n, depth] = ["m", "n", "k"].map(|name| k.word(name));
    let strides = ["a_stride", "b_stride", "c_stride"].map(|name| k.word(name));
    let batches = ["a_batch", "b_batch", "c_batch"].map(|name| k.word(name));
    let gelu = k.word("gelu");
    let (alpha, beta) = (k.real("alpha"), k.real("beta"));

    k.comment("the matrices of this batch entry, the first row and column of this block");
    let entry = k.special("%ctaid.z");
    for (matrix, batch) in [(a, batches[0]), (b, batches[1])] {
        let distance = k.distance(entry, batch, shift);
        k.advance(matrix, distance);
    }
    let first = k.wide(entry, batches[2]);
    let [m0, n0] = ["%ctaid.y", "%ctaid.x"].map(|name| {
        let block = k.special(name);
        k.shl(block, BLOCK.ilog2())
    });
    let thread = k.special("%tid.x");
    let lane = k.and(thread, 31);
    let warp = k.shr(thread, 5);
    let across = k.and(warp, 3);
    let down = k.shr(warp, 2);
    let (warp_m, warp_n) = (k.shl(down, 6), k.shl(across, 5));
    let memory = k.shared();

    k.comment("which chunks this thread copies");
    let none = k.variable(0);
    let place = |k: &mut Kernel, down, tile, matrix, stride, outer, first| {
        let (shape, first) =
            if down { ([depth, outer], [none, first]) } else { ([outer, depth], [first, none]) };
        Source::new(k, tile, [THREADS, shift], thread, matrix, stride, shape, first)
    };
    let from_a = place(k, layout.a_down, a_tile, a, strides[0], m, m0);
    let from_b = place(k, layout.b_down, b_tile, b, strides[1], n, n0);
    let a_bytes = a_tile.bytes();
    let fetch = |k: &mut Kernel, stage: Reg<Word>| {
        let at = k.add(memory, stage);
        from_a.copy(k, at);
        let at = k.add(at, a_bytes);
        from_b.copy(k, at);
        k.commit();
        for (source, down) in [(&from_a, layout.a_down), (&from_b, layout.b_down)] {
            if down { source.down(k, step) } else { source.right(k, step) }
        }
    };

    k.comment("where its fragments lie in a stage");
    let a_first = fragment(k, format, [false, layout.a_down], lane, warp_m);
    let b_first = fragment(k, format, [true, layout.b_down], lane, warp_n);
    let b_first = k.add(b_first, a_bytes);
    let sums: Vec<[Reg<Real>; 4]> =
        (0..16).map(|_| std::array::from_fn(|_| k.real_variable(0.0))).collect();

    k.comment("the first two stages are on their way");
    let to = k.variable(0);
    for _ in 0..STAGES - 1 {
        fetch(k, to);
        k.increase(to, stage_bytes);
    }

    k.comment("each step: wait for its stage, send for the one after the next, multiply");
    let from = k.variable(0);
    let position = k.variable(0);
    let (begin, end) = (k.label("STEP"), k.label("STEP_END"));
    k.place(begin);
    let over = k.compare(position, Is::Ge, depth);
    k.jump_if(over, end);
    k.wait(STAGES - 2);
    k.barrier();
    fetch(k, to);
    next_stage(k, to, stage_bytes);
    let at = k.add(memory, from);
    let (a_base, b_base) = (k.add(at, a_first), k.add(at, b_first));
    for part in 0..2 {
        k.comment(&format!("part {part} of the step"));
        let b: Vec<_> =
            (0..2).flat_map(|j| load_b(k, format, layout.b_down, b_base, j, part)).collect();
        for i in 0..4 {
            let a = load_a(k, format, layout.a_down, a_base, i, part);
            for (j, b) in (0..).zip(&b) {
                k.multiply(&sums[(4 * i + j) as usize], &a, *b);
            }
        }
    }
    next_stage(k, from, stage_bytes);
    k.increase(position, step);
    k.jump(begin);
    k.place(end);
    k.wait(0);
    k.barrier();

    let c_stride = strides[2];
    let out = Output { c, c16, bias, residual, first, c_stride, m, n, m0, n0, gelu, alpha, beta };
    epilogue(k, &out, &sums, [thread, lane, down, warp_n, memory]);
    k.finish()
}

fn next_stage(k: &mut Kernel, stage: Reg<Word>, bytes: u32) {
    k.increase(stage, bytes);
    let last = k.compare(stage, Is::Eq, STAGES * bytes);
    let next = k.select(last, 0, stage);
    k.set(stage, next);
}

/// Where C goes and what is added.
struct Output {
    c: Reg<Address>,
    c16: Reg<Address>,
    bias: Reg<Address>,
    residual: Reg<Address>,
    /// Elements to the matrix of this batch entry.
    first: Reg<Address>,
    c_stride: Reg<Word>,
    m: Reg<Word>,
    n: Reg<Word>,
    m0: Reg<Word>,
    n0: Reg<Word>,
    gelu: Reg<Word>,
    alpha: Reg<Real>,
    beta: Reg<Real>,
}

/// C through shared memory, half by half.
fn epilogue(
    k: &mut Kernel,
    out: &Output,
    sums: &[[Reg<Real>; 4]],
    [thread, lane, down, warp_n, memory]: [Reg<Word>; 5],
) {
    let (group, pair) = (k.shr(lane, 2), k.and(lane, 3));
    let column = k.mad(pair, 2, warp_n);
    let at = k.mad(group, ROW, column);
    let at = k.mad(at, 4, memory);
    for half in 0..2 {
        k.comment(&format!(
            "rows {} to {}: the warps that have them lay them down",
            64 * half,
            64 * half + 63
        ));
        let skip = k.label("LAID");
        let others = k.compare(down, Is::Ne, half);
        k.jump_if(others, skip);
        for i in 0..4_u32 {
            for j in 0..4_u32 {
                let [x, y, z, w] = sums[(4 * i + j) as usize];
                k.store_shared_pair(at, (16 * i * ROW + 8 * j) * 4, [x, y]);
                k.store_shared_pair(at, ((16 * i + 8) * ROW + 8 * j) * 4, [z, w]);
            }
        }
        k.place(skip);
        k.barrier();
        k.comment("all threads take them up again, along the rows");
        let element = k.variable(thread);
        let (begin, next) = (k.label("WRITE"), k.label("WRITE_NEXT"));
        k.place(begin);
        write(k, out, element, half, memory, next);
        k.place(next);
        k.increase(element, THREADS);
        let more = k.compare(element, Is::Lt, 64 * BLOCK);
        k.jump_if(more, begin);
        if half == 0 {
            k.barrier();
        }
    }
}

/// One element: what is added to it, and where it goes.
fn write(
    k: &mut Kernel,
    out: &Output,
    element: Reg<Word>,
    half: u32,
    memory: Reg<Word>,
    next: Label,
) {
    let (row, column) = (k.shr(element, 7), k.and(element, BLOCK - 1));
    let from = k.mad(row, ROW, column);
    let from = k.mad(from, 4, memory);
    let row = k.add(row, out.m0);
    let row = k.add(row, 64 * half);
    let column = k.add(column, out.n0);
    let beyond = k.compare(row, Is::Ge, out.m);
    let right_of = k.compare(column, Is::Ge, out.n);
    let outside = k.either(beyond, right_of);
    k.part_if(outside, next);
    let sum = k.load_shared(from, 0);
    let addend = k.real_variable(0.0);
    let there = k.is_there(out.bias);
    let distance = k.wide(column, 4);
    let bias = k.move_on(out.bias, distance);
    k.only_if(there, |k| k.load_into(addend, bias));
    let x = k.fma(out.alpha, sum, addend);

    // x / (1 + exp(-u)): log2(e) u = x (2.3022082 + 0.10294324 x^2)
    let square = k.mul_real(x, x);
    let factor = k.fma(square, -0.102_943_24, -2.302_208_2);
    let power = k.mul_real(x, factor);
    let power = k.exp2(power);
    let power = k.add_real(power, 1.0);
    let share = k.reciprocal(power);
    let curved = k.mul_real(x, share);
    let wanted = k.compare(out.gelu, Is::Ne, 0);
    let x = k.select_real(wanted, curved, x);

    let down = k.wide(row, out.c_stride);
    let right = k.wide(column, 1);
    let element = k.move_on(down, right);
    let element = k.move_on(element, out.first);
    let half_bytes = k.move_on(element, element);
    let bytes = k.move_on(half_bytes, half_bytes);
    let there = k.is_there(out.residual);
    let residual = k.move_on(out.residual, bytes);
    let addend = k.real_variable(0.0);
    k.only_if(there, |k| k.load_into(addend, residual));
    let x = k.fma(out.beta, addend, x);
    let there = k.is_there(out.c);
    let c = k.move_on(out.c, bytes);
    k.only_if(there, |k| k.store(c, x));
    let there = k.is_there(out.c16);
    let c16 = k.move_on(out.c16, half_bytes);
    let packed = k.pack(x, 0.0);
    k.only_if(there, |k| k.store_half(c16, packed));
}
