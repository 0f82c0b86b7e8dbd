//! Just enough of FlatBuffers to read the headers of Arrow messages, with every offset checked.
//!
//! A **table** begins with a signed 32-bit offset back to its **vtable**: two u16 sizes, then a u16 offset per field,
//! 0 for a field that has its default. Numbers are little-endian; a reference is a u32 offset forward from itself; a
//! vector or string is a u32 count and its elements. References only lead forward, so there are no cycles; but two of
//! them can lead to one place, so whoever walks a tree must bound the walk.
//! Format: <https://flatbuffers.dev/internals/>.

/// An offset or count that leads out of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

type Result<T> = std::result::Result<T, Malformed>;

/// A table in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
    vtable: usize,
    vtable_len: usize,
}

/// The elements of a vector, each `size` bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vector<'a> {
    bytes: &'a [u8],
    at: usize,
    len: usize,
}

/// `N` bytes at an offset.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let end = at.checked_add(N).ok_or(Malformed)?;
    bytes.get(at..end).and_then(|slice| slice.try_into().ok()).ok_or(Malformed)
}

/// Where the reference at an offset leads.
fn follow(bytes: &[u8], at: usize) -> Result<usize> {
    let forward = u32::from_le_bytes(array(bytes, at)?);
    at.checked_add(forward as usize).filter(|&to| to < bytes.len()).ok_or(Malformed)
}

impl<'a> Table<'a> {
    /// The table that a buffer is about.
    pub(super) fn root(bytes: &'a [u8]) -> Result<Self> {
        Self::new(bytes, follow(bytes, 0)?)
    }

    fn new(bytes: &'a [u8], at: usize) -> Result<Self> {
        let back = i64::from(i32::from_le_bytes(array(bytes, at)?));
        let vtable = i64::try_from(at).map_err(|_| Malformed)?.checked_sub(back);
        let vtable = vtable.and_then(|v| usize::try_from(v).ok()).ok_or(Malformed)?;
        let vtable_len = usize::from(u16::from_le_bytes(array(bytes, vtable)?));
        if vtable_len < 4 || vtable.checked_add(vtable_len).is_none_or(|end| end > bytes.len()) {
            return Err(Malformed);
        }
        Ok(Self { bytes, at, vtable, vtable_len })
    }

    /// Where a field lies; nothing if it has its default.
    fn field(&self, slot: usize) -> Result<Option<usize>> {
        let entry = 4 + 2 * slot;
        if entry + 2 > self.vtable_len {
            return Ok(None);
        }
        match u16::from_le_bytes(array(self.bytes, self.vtable + entry)?) {
            0 => Ok(None),
            offset => Ok(Some(self.at + usize::from(offset))),
        }
    }

    fn scalar<const N: usize>(&self, slot: usize) -> Result<Option<[u8; N]>> {
        self.field(slot)?.map(|at| array(self.bytes, at)).transpose()
    }

    pub(super) fn u8(&self, slot: usize) -> Result<u8> {
        Ok(self.scalar(slot)?.map_or(0, u8::from_le_bytes))
    }

    pub(super) fn i16(&self, slot: usize) -> Result<i16> {
        Ok(self.scalar(slot)?.map_or(0, i16::from_le_bytes))
    }

    pub(super) fn i32(&self, slot: usize) -> Result<i32> {
        Ok(self.scalar(slot)?.map_or(0, i32::from_le_bytes))
    }

    pub(super) fn i64(&self, slot: usize) -> Result<i64> {
        Ok(self.scalar(slot)?.map_or(0, i64::from_le_bytes))
    }

    pub(super) fn table(&self, slot: usize) -> Result<Option<Self>> {
        let Some(at) = self.field(slot)? else { return Ok(None) };
        Self::new(self.bytes, follow(self.bytes, at)?).map(Some)
    }

    /// A vector of elements of `size` bytes; an absent one is empty.
    pub(super) fn vector(&self, slot: usize, size: usize) -> Result<Vector<'a>> {
        let Some(at) = self.field(slot)? else {
            return Ok(Vector { bytes: self.bytes, at: 0, len: 0 });
        };
        let at = follow(self.bytes, at)?;
        let len = u32::from_le_bytes(array(self.bytes, at)?) as usize;
        let end = len.checked_mul(size).and_then(|bytes| bytes.checked_add(at + 4));
        if end.is_none_or(|end| end > self.bytes.len()) {
            return Err(Malformed);
        }
        Ok(Vector { bytes: self.bytes, at: at + 4, len })
    }

    pub(super) fn string(&self, slot: usize) -> Result<&'a str> {
        let vector = self.vector(slot, 1)?;
        std::str::from_utf8(&self.bytes[vector.at..vector.at + vector.len]).map_err(|_| Malformed)
    }
}

impl<'a> Vector<'a> {
    /// The tables of a vector of references.
    pub(super) fn tables(self) -> impl Iterator<Item = Result<Table<'a>>> {
        (0..self.len).map(move |i| Table::new(self.bytes, follow(self.bytes, self.at + 4 * i)?))
    }

    /// Element `i` of a vector of two 64-bit numbers each.
    pub(super) fn pair(&self, i: usize) -> Result<(i64, i64)> {
        if i >= self.len {
            return Err(Malformed);
        }
        let number = |at| array(self.bytes, at).map(i64::from_le_bytes);
        Ok((number(self.at + 16 * i)?, number(self.at + 16 * i + 8)?))
    }
}
