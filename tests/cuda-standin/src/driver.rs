//! The exported functions. Signatures are those of cuda.h; handles are numbers in the guise of pointers.
//!
//! The safety of all of them is the caller's: pointers are null or point to what cuda.h says. What each one does with them is
//! next to nothing; the device is safe code.

use crate::device::{Device, Pending, device, log};
use crate::result::{CUresult, INVALID_DEVICE, INVALID_VALUE, SUCCESS};
use foundry_ptx_emu::Launch;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::take;

pub(crate) type Handle = *mut c_void;

/// The one stream.
pub(crate) const STREAM: usize = 2;

const NAME: &[u8] = b"Foundry stand-in (emulated, sm_80)\0";

/// Attributes of a device: the numbers of `CUdevice_attribute`.
const CAPABILITY_MAJOR: c_int = 75;
const CAPABILITY_MINOR: c_int = 76;
const MEMORY_POOLS: c_int = 115;

/// A number as a handle; never dereferenced.
pub(crate) fn handle(number: usize) -> Handle {
    std::ptr::without_provenance_mut(number)
}

/// Writes a result through a pointer that the caller gave.
pub(crate) unsafe fn put<T>(to: *mut T, value: T) -> CUresult {
    if to.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: not null, and by the contract of the exported functions it points to a T that may be written.
    unsafe { to.write(value) };
    SUCCESS
}

/// Writes what went well.
unsafe fn put_result<T>(to: *mut T, value: Result<T, CUresult>) -> CUresult {
    match value {
        // SAFETY: as `put`.
        Ok(value) => unsafe { put(to, value) },
        Err(code) => code,
    }
}

fn code(result: Result<(), CUresult>) -> CUresult {
    result.err().unwrap_or(SUCCESS)
}

#[unsafe(no_mangle)]
extern "C" fn cuInit(_flags: c_uint) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> CUresult {
    // SAFETY: the caller's part of the contract.
    unsafe { put(count, 1) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> CUresult {
    if ordinal != 0 {
        return INVALID_DEVICE;
    }
    // SAFETY: the caller's part of the contract.
    unsafe { put(device, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, len: c_int, _device: c_int) -> CUresult {
    let Ok(len) = usize::try_from(len) else { return INVALID_VALUE };
    if name.is_null() || len < NAME.len() {
        return INVALID_VALUE;
    }
    // SAFETY: the caller has room for `len` bytes, which are enough.
    unsafe { std::ptr::copy_nonoverlapping(NAME.as_ptr().cast(), name, NAME.len()) };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) -> CUresult {
    let (_, all) = device().room();
    // SAFETY: the caller's part of the contract.
    unsafe { put(bytes, usize::try_from(all).unwrap_or(usize::MAX)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetAttribute(
    value: *mut c_int,
    attribute: c_int,
    _device: c_int,
) -> CUresult {
    let known = match attribute {
        CAPABILITY_MAJOR => crate::device::capability().0,
        CAPABILITY_MINOR => crate::device::capability().1,
        MEMORY_POOLS => 1,
        _ => 0,
    };
    // SAFETY: the caller's part of the contract.
    unsafe { put(value, known) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut Handle, _device: c_int) -> CUresult {
    // SAFETY: the caller's part of the contract.
    unsafe { put(context, handle(1)) }
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: c_int) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetCurrent(context: *mut Handle) -> CUresult {
    // SAFETY: the caller's part of the contract.
    unsafe { put(context, handle(1)) }
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCurrent(_context: Handle) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSynchronize() -> CUresult {
    wait("cuCtxSynchronize")
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemGetInfo_v2(free: *mut usize, all: *mut usize) -> CUresult {
    let (room, total) = device().room();
    let size = |n| usize::try_from(n).unwrap_or(usize::MAX);
    // SAFETY: the caller's part of the contract.
    match unsafe { put(free, size(room)) } {
        // SAFETY: the same.
        SUCCESS => unsafe { put(all, size(total)) },
        failed => failed,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamCreate(stream: *mut Handle, _flags: c_uint) -> CUresult {
    // SAFETY: the caller's part of the contract.
    unsafe { put(stream, handle(STREAM)) }
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamDestroy_v2(_stream: Handle) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitEvent(_stream: Handle, _event: Handle, _flags: c_uint) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamSynchronize(_stream: Handle) -> CUresult {
    wait("cuStreamSynchronize")
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventCreate(event: *mut Handle, _flags: c_uint) -> CUresult {
    // SAFETY: the caller's part of the contract.
    unsafe { put(event, handle(3)) }
}

#[unsafe(no_mangle)]
extern "C" fn cuEventDestroy_v2(_event: Handle) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(_event: Handle, _stream: Handle) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuEventSynchronize(_event: Handle) -> CUresult {
    wait("cuEventSynchronize")
}

/// Makes the copies to the host that were queued.
fn wait(who: &str) -> CUresult {
    log(who);
    let mut device = device();
    let mut all = Ok(());
    for Pending { from, to, bytes } in take(&mut device.pending) {
        let mut copy = vec![0; bytes];
        let read = device.read(from, &mut copy);
        if read.is_ok() {
            // SAFETY: the caller of cuMemcpyDtoHAsync gave an address with room for that many bytes, which by the contract of
            // that function is there until it has waited.
            let to = unsafe {
                std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut(to), bytes)
            };
            to.copy_from_slice(&copy);
        }
        all = all.and(read);
    }
    code(all)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAlloc_v2(at: *mut u64, bytes: usize) -> CUresult {
    // SAFETY: the caller's part of the contract.
    unsafe { put_result(at, device().alloc(bytes as u64)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAllocAsync(at: *mut u64, bytes: usize, _stream: Handle) -> CUresult {
    // SAFETY: the caller's part of the contract.
    unsafe { put_result(at, device().alloc(bytes as u64)) }
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFree_v2(at: u64) -> CUresult {
    code(device().free(at))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeAsync(at: u64, _stream: Handle) -> CUresult {
    code(device().free(at))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyHtoDAsync_v2(
    to: u64,
    from: *const c_void,
    bytes: usize,
    _stream: Handle,
) -> CUresult {
    if from.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: the caller has that many bytes there.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), bytes) };
    code(device().write(to, bytes))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyDtoHAsync_v2(
    to: *mut c_void,
    from: u64,
    bytes: usize,
    _stream: Handle,
) -> CUresult {
    if to.is_null() {
        return INVALID_VALUE;
    }
    log(&format!("cuMemcpyDtoHAsync {bytes}"));
    device().pending.push(Pending { from, to: to.expose_provenance(), bytes });
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, _stream: Handle) -> CUresult {
    let copy = |device: &mut Device| {
        let mut copy = vec![0; bytes];
        device.read(from, &mut copy)?;
        device.write(to, &copy)
    };
    code(copy(&mut device()))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8Async(at: u64, byte: u8, bytes: usize, _stream: Handle) -> CUresult {
    code(device().fill(at, byte, bytes as u64))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleLoadData(module: *mut Handle, image: *const c_void) -> CUresult {
    if image.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: the caller gives a text that ends with a zero.
    let text = unsafe { CStr::from_ptr(image.cast()) }.to_string_lossy();
    // SAFETY: the caller's part of the contract.
    unsafe { put_result(module, device().load(&text).map(handle)) }
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleUnload(_module: Handle) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetFunction(
    function: *mut Handle,
    module: Handle,
    name: *const c_char,
) -> CUresult {
    if name.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: the caller gives a text that ends with a zero.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    let found = device().function(module.addr(), &name).map(handle);
    // SAFETY: the caller's part of the contract.
    unsafe { put_result(function, found) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuLaunchKernel(
    function: Handle,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    dynamic_shared: c_uint,
    _stream: Handle,
    parameters: *mut *mut c_void,
    _extra: *mut *mut c_void,
) -> CUresult {
    let mut device = device();
    let sizes = match device.parameter_sizes(function.addr()) {
        Ok(sizes) => sizes,
        Err(failed) => return failed,
    };
    if parameters.is_null() && !sizes.is_empty() {
        return INVALID_VALUE;
    }
    let bytes = |(i, &size): (usize, &usize)| {
        // SAFETY: cuda.h: "each of kernelParams[0] through kernelParams[N-1] must point to a region of memory from which the
        // actual kernel parameter will be copied", N and the sizes being those of the kernel.
        unsafe { std::slice::from_raw_parts((*parameters.add(i)).cast::<u8>(), size).to_vec() }
    };
    let parameters: Vec<Vec<u8>> = sizes.iter().enumerate().map(bytes).collect();
    let shape = Launch {
        grid: [grid_x, grid_y, grid_z],
        block: [block_x, block_y, block_z],
        dynamic_shared,
    };
    code(device.launch(function.addr(), &shape, &parameters))
}
