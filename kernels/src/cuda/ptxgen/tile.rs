//! Tiles of shared memory.
//!
//! A row is a number of chunks of 16 bytes, which `cp.async` brings and `ldmatrix` reads. Read as columns they would all lie
//! in the same banks, so chunk c of row r lies where chunk `c xor f(r)` would: any eight rows that are read together are
//! spread over all 32 banks, and so are neighbouring chunks of a row.
//!
//! An address is `row x bytes + (c xor f(r)) x 16`, and a row begins at a multiple of its size. So from the address of a
//! thread's first fragment, that of a fragment some chunks on is one `xor` away, and that of one eight rows on is a constant
//! offset, which costs nothing.

use super::builder::{Address, Flag, Is, Kernel, Reg, Word};

/// Which chunks change places.
#[derive(Clone, Copy)]
pub(super) enum Swizzle {
    /// For `ldmatrix`: eight rows of one chunk.
    Matrix,
    /// For single words of four rows and eight neighbouring columns.
    Words,
}

/// The shape of a tile.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) rows: u32,
    /// A power of two, at least 64.
    pub(super) row_bytes: u32,
    pub(super) swizzle: Swizzle,
}

impl Tile {
    pub(super) fn bytes(self) -> u32 {
        self.rows * self.row_bytes
    }

    /// log2 of the chunks of a row.
    fn chunk_bits(self) -> u32 {
        self.row_bytes.ilog2() - 4
    }

    /// Bytes from the first of the tile to a chunk.
    pub(super) fn chunk(self, k: &mut Kernel, row: Reg<Word>, chunk: Reg<Word>) -> Reg<Word> {
        let turn = match self.swizzle {
            Swizzle::Matrix if self.chunk_bits() < 3 => {
                let pair = k.shr(row, 1);
                k.and(pair, 3)
            }
            Swizzle::Matrix => k.and(row, 7),
            Swizzle::Words => {
                let turn = k.and(row, 3);
                k.shl(turn, 1)
            }
        };
        let chunk = k.xor(chunk, turn);
        let chunk = k.shl(chunk, 4);
        k.mad(row, self.row_bytes, chunk)
    }

    /// Where lane l gives `ldmatrix` its row: row l % 16 of two chunks side by side.
    pub(super) fn side_by_side(
        self,
        k: &mut Kernel,
        lane: Reg<Word>,
        first_row: Option<Reg<Word>>,
        first_chunk: Option<Reg<Word>>,
    ) -> Reg<Word> {
        let (row, chunk) = (k.and(lane, 15), k.shr(lane, 4));
        self.lane(k, [row, chunk], first_row, first_chunk)
    }

    /// As [`Tile::side_by_side`], but the second and third of the four matrices change places.
    pub(super) fn one_by_one(
        self,
        k: &mut Kernel,
        lane: Reg<Word>,
        first_row: Option<Reg<Word>>,
        first_chunk: Option<Reg<Word>>,
    ) -> Reg<Word> {
        let (low, high) = (k.and(lane, 7), k.shr(lane, 4));
        let row = k.mad(high, 8, low);
        let chunk = k.shr(lane, 3);
        let chunk = k.and(chunk, 1);
        self.lane(k, [row, chunk], first_row, first_chunk)
    }

    fn lane(
        self,
        k: &mut Kernel,
        [mut row, mut chunk]: [Reg<Word>; 2],
        first_row: Option<Reg<Word>>,
        first_chunk: Option<Reg<Word>>,
    ) -> Reg<Word> {
        if let Some(first) = first_row {
            row = k.add(row, first);
        }
        if let Some(first) = first_chunk {
            chunk = k.add(chunk, first);
        }
        self.chunk(k, row, chunk)
    }
}

/// A matrix in global memory, as a thread walks over it while it fills tiles: rows of neighbouring elements.
pub(super) struct Source {
    /// The chunk of this thread.
    at: Reg<Address>,
    /// Its row and the column of its first element, in the matrix.
    row: Reg<Word>,
    column: Reg<Word>,
    rows: Reg<Word>,
    columns: Reg<Word>,
    /// Bytes from a thread's chunk to its next one, and to the next tile.
    to_next: Reg<Address>,
    /// log2 of the bytes of an element.
    shift: u32,
    tile: Tile,
    threads: u32,
    /// Where the first chunk goes in the tile.
    to: Reg<Word>,
}

impl Source {
    /// `matrix` has `rows` rows of `columns` elements, `stride` elements apart; the first tile begins at `first`.
    pub(super) fn new(
        k: &mut Kernel,
        tile: Tile,
        [threads, shift]: [u32; 2],
        thread: Reg<Word>,
        matrix: Reg<Address>,
        stride: Reg<Word>,
        [rows, columns]: [Reg<Word>; 2],
        first: [Reg<Word>; 2],
    ) -> Self {
        let row_in_tile = k.shr(thread, tile.chunk_bits());
        let chunk = k.and(thread, (1 << tile.chunk_bits()) - 1);
        let to = tile.chunk(k, row_in_tile, chunk);
        let row = k.add(row_in_tile, first[0]);
        let column = k.mad(chunk, 16 >> shift, first[1]);
        let down = k.distance(row, stride, shift);
        let right = k.wide(column, 1 << shift);
        let at = k.move_on(matrix, down);
        let at = k.move_on(at, right);
        let to_next = k.distance(stride, threads >> tile.chunk_bits(), shift);
        Self { at, row, column, rows, columns, to_next, shift, tile, threads, to }
    }

    /// Begins the copies of a tile; what lies outside the matrix becomes 0 without being read.
    pub(super) fn copy(&self, k: &mut Kernel, tile_at: Reg<Word>) {
        let to = k.add(tile_at, self.to);
        // elements of the row from this column on, at most a chunk
        let end = k.max(self.columns, self.column);
        let left = k.sub(end, self.column);
        let left = k.min(left, 16 >> self.shift);
        let left = k.shl(left, self.shift);
        let rows_apart = self.threads >> self.tile.chunk_bits();
        let mut at = self.at;
        for i in 0..self.tile.rows / rows_apart {
            let row = if i == 0 { self.row } else { k.add(self.row, i * rows_apart) };
            if i > 0 {
                at = k.move_on(at, self.to_next);
            }
            let inside: Reg<Flag> = k.compare(row, Is::Lt, self.rows);
            let bytes = k.select(inside, left, 0);
            k.copy(to, i * rows_apart * self.tile.row_bytes, at, bytes);
        }
    }

    /// On to the tile some columns further right.
    pub(super) fn right(&self, k: &mut Kernel, columns: u32) {
        k.increase(self.column, columns);
        k.advance(self.at, columns << self.shift);
    }

    /// On to the tile some rows further down.
    pub(super) fn down(&self, k: &mut Kernel, rows: u32) {
        k.increase(self.row, rows);
        let copies = self.tile.rows / (self.threads >> self.tile.chunk_bits());
        assert_eq!(rows, self.tile.rows, "tiles follow one another");
        for _ in 0..copies {
            k.advance(self.at, self.to_next);
        }
    }
}
