//! The memory of a device that does not exist.
//!
//! Addresses are made up, far apart and never used twice: a pointer of the host, an index past the end of an array and
//! a pointer that was given back all miss every allocation. Fresh memory is filled with NaN, and every byte knows
//! whether somebody wrote it.

use crate::shadow::Cell;
use std::fmt;

const FIRST: u64 = 0x7f00_0000_0000;
/// `cuMemAlloc`: "The allocated memory is suitably aligned for any kind of variable", 256 bytes in practice.
const ALIGN: u64 = 256;
const GAP: u64 = 1 << 16;

/// An address on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(pub u64);

impl Pointer {
    /// The address `bytes` further on.
    #[must_use]
    pub fn offset(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

/// What the host did wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} of {bytes} bytes at {address:#x}: {why}")]
pub struct MemoryError {
    what: &'static str,
    address: u64,
    bytes: u64,
    why: Miss,
}

/// Why an address is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    Outside,
    Freed,
    OutOfMemory,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outside => "outside every allocation",
            Self::Freed => "the memory was given back",
            Self::OutOfMemory => "the device has not that much left",
        })
    }
}

/// One allocation.
pub(crate) struct Region {
    pub(crate) base: u64,
    pub(crate) len: u64,
    pub(crate) data: Vec<u8>,
    /// Whether each byte was written.
    pub(crate) written: Vec<bool>,
    /// The history of each granule; empty until a launch watches for races.
    pub(crate) cells: Vec<Cell>,
    /// Bytes of a cell.
    pub(crate) granule: usize,
    freed: bool,
}

/// All allocations of a device.
pub struct Memory {
    regions: Vec<Region>,
    next: u64,
    used: u64,
    capacity: u64,
    /// Steps at every launch, block and barrier; see the module `shadow`.
    pub(crate) epoch: u32,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(16 << 30)
    }
}

impl Memory {
    /// A device with `capacity` bytes.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self { regions: vec![], next: FIRST, used: 0, capacity, epoch: 1 }
    }

    /// Bytes that are allocated, and bytes there are.
    #[must_use]
    pub fn used_and_capacity(&self) -> (u64, u64) {
        (self.used, self.capacity)
    }

    /// Fresh memory: every byte is 0xff (NaN in every format), and counts as not written.
    ///
    /// # Errors
    /// If the device has not that much left.
    pub fn alloc(&mut self, bytes: u64) -> Result<Pointer, MemoryError> {
        let base = self.next;
        if self.used + bytes > self.capacity {
            let why = Miss::OutOfMemory;
            return Err(MemoryError { what: "allocation", address: 0, bytes, why });
        }
        self.next += bytes.next_multiple_of(ALIGN) + GAP;
        self.used += bytes;
        let n = bytes as usize;
        self.regions.push(Region {
            base,
            len: bytes,
            data: vec![0xff; n],
            written: vec![false; n],
            cells: vec![],
            granule: 4,
            freed: false,
        });
        Ok(Pointer(base))
    }

    /// Gives memory back. Its address is never used again.
    ///
    /// # Errors
    /// If no allocation begins there.
    pub fn free(&mut self, at: Pointer) -> Result<(), MemoryError> {
        let error = |why| MemoryError { what: "free", address: at.0, bytes: 0, why };
        let region = self.regions.iter_mut().find(|r| r.base == at.0);
        let region = region.ok_or(error(Miss::Outside))?;
        if region.freed {
            return Err(error(Miss::Freed));
        }
        region.freed = true;
        (region.data, region.written, region.cells) = Default::default();
        self.used -= region.len;
        Ok(())
    }

    /// Copies bytes to the device.
    ///
    /// # Errors
    /// If they do not lie within one allocation.
    pub fn write(&mut self, at: Pointer, bytes: &[u8]) -> Result<(), MemoryError> {
        let (region, start) = self.place("write", at, bytes.len() as u64)?;
        region.data[start..start + bytes.len()].copy_from_slice(bytes);
        region.written[start..start + bytes.len()].fill(true);
        Ok(())
    }

    /// Sets bytes of the device.
    ///
    /// # Errors
    /// If they do not lie within one allocation.
    pub fn fill(&mut self, at: Pointer, byte: u8, bytes: u64) -> Result<(), MemoryError> {
        let (region, start) = self.place("fill", at, bytes)?;
        region.data[start..start + bytes as usize].fill(byte);
        region.written[start..start + bytes as usize].fill(true);
        Ok(())
    }

    /// Copies bytes from the device, written or not.
    ///
    /// # Errors
    /// If they do not lie within one allocation.
    pub fn read(&mut self, at: Pointer, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let (region, start) = self.place("read", at, bytes.len() as u64)?;
        bytes.copy_from_slice(&region.data[start..start + bytes.len()]);
        Ok(())
    }

    /// Whether each of these bytes was written.
    ///
    /// # Errors
    /// If they do not lie within one allocation.
    pub fn written(&mut self, at: Pointer, bytes: u64) -> Result<&[bool], MemoryError> {
        let (region, start) = self.place("read", at, bytes)?;
        Ok(&region.written[start..start + bytes as usize])
    }

    /// A new allocation that holds these numbers.
    ///
    /// # Errors
    /// If the device has not that much left.
    pub fn upload_f32(&mut self, x: &[f32]) -> Result<Pointer, MemoryError> {
        self.upload(x.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// A new allocation that holds these numbers.
    ///
    /// # Errors
    /// If the device has not that much left.
    pub fn upload_u32(&mut self, x: &[u32]) -> Result<Pointer, MemoryError> {
        self.upload(x.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    fn upload(&mut self, bytes: Vec<u8>) -> Result<Pointer, MemoryError> {
        let at = self.alloc(bytes.len() as u64)?;
        self.write(at, &bytes)?;
        Ok(at)
    }

    /// n numbers from `at`.
    ///
    /// # Errors
    /// If they do not lie within one allocation.
    pub fn download_f32(&mut self, at: Pointer, n: usize) -> Result<Vec<f32>, MemoryError> {
        Ok(self.download_u32(at, n)?.into_iter().map(f32::from_bits).collect())
    }

    /// n numbers from `at`.
    ///
    /// # Errors
    /// If they do not lie within one allocation.
    pub fn download_u32(&mut self, at: Pointer, n: usize) -> Result<Vec<u32>, MemoryError> {
        let mut bytes = vec![0; 4 * n];
        self.read(at, &mut bytes)?;
        let (words, _) = bytes.as_chunks::<4>();
        Ok(words.iter().map(|w| u32::from_le_bytes(*w)).collect())
    }

    fn place(
        &mut self,
        what: &'static str,
        at: Pointer,
        bytes: u64,
    ) -> Result<(&mut Region, usize), MemoryError> {
        let found = self.find(at.0, bytes);
        let index = found.map_err(|why| MemoryError { what, address: at.0, bytes, why })?;
        let region = &mut self.regions[index];
        let start = (at.0 - region.base) as usize;
        Ok((region, start))
    }

    /// The allocation that holds these bytes.
    pub(crate) fn find(&self, address: u64, bytes: u64) -> Result<usize, Miss> {
        let index = self.regions.partition_point(|r| r.base <= address);
        let Some(region) = index.checked_sub(1).map(|i| &self.regions[i]) else {
            return Err(Miss::Outside);
        };
        let past_end = address - region.base;
        if past_end > region.len || bytes > region.len - past_end {
            return Err(Miss::Outside);
        }
        if region.freed { Err(Miss::Freed) } else { Ok(index - 1) }
    }

    /// Begin and length of allocation `index`, if it is there.
    #[inline]
    pub(crate) fn peek(&self, index: usize) -> Option<(u64, u64)> {
        self.regions.get(index).filter(|r| !r.freed).map(|r| (r.base, r.len))
    }

    /// Where an address lies that misses: for the report.
    pub(crate) fn describe(&self, address: u64) -> String {
        let index = self.regions.partition_point(|r| r.base <= address);
        match index.checked_sub(1).map(|i| &self.regions[i]) {
            Some(r) if address - r.base < r.len + GAP => {
                format!(", {} bytes into one of {}", address - r.base, r.len)
            }
            _ => String::new(),
        }
    }

    pub(crate) fn region(&mut self, index: usize) -> &mut Region {
        &mut self.regions[index]
    }
}

impl Region {
    /// Gives every granule a history, if it has none of this size.
    pub(crate) fn watch(&mut self, granule: usize) {
        if self.cells.is_empty() || self.granule != granule {
            self.granule = granule;
            self.cells = vec![Cell::default(); self.data.len().div_ceil(granule)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_memory__what_was_written_is_read() {
        let mut memory = Memory::default();
        let a = memory.upload_f32(&[1.0, 2.0, 3.0]).unwrap();
        let b = memory.alloc(8).unwrap();

        assert_eq!(memory.download_f32(a, 3), Ok(vec![1.0, 2.0, 3.0]));
        assert_eq!(memory.download_u32(b, 2), Ok(vec![u32::MAX; 2]), "not zero");
        assert!(memory.written(b, 8).unwrap().iter().all(|w| !w));
        memory.fill(b.offset(4), 0, 4).unwrap();
        assert_eq!(memory.download_u32(b, 2), Ok(vec![u32::MAX, 0]));
    }

    #[test]
    fn test_memory__misses() {
        let mut memory = Memory::new(100);
        let a = memory.alloc(60).unwrap();

        let message = |e: Result<(), MemoryError>| e.unwrap_err().to_string();
        assert!(message(memory.write(a.offset(57), &[0; 4])).contains("outside every allocation"));
        assert!(message(memory.alloc(41).map(|_| ())).contains("has not that much left"));
        memory.free(a).unwrap();
        assert!(message(memory.write(a, &[0])).contains("was given back"));
        assert!(message(memory.free(a)).contains("was given back"));
        let b = memory.alloc(60).unwrap();
        assert_ne!(a, b, "an address is used once");
    }
}
