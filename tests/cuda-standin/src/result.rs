//! `CUresult`: the numbers of cuda.h, and what the driver calls them.

use std::ffi::{CStr, c_char, c_int};

/// What every function returns.
pub(crate) type CUresult = c_int;

macro_rules! results {
    ($($name:ident = $number:literal, $c_name:literal, $text:literal;)*) => {
        $(pub(crate) const $name: CUresult = $number;)*

        /// Name and description.
        fn describe(result: CUresult) -> Option<(&'static CStr, &'static CStr)> {
            match result {
                $($number => Some(($c_name, $text)),)*
                _ => None,
            }
        }
    };
}

results! {
    SUCCESS = 0, c"CUDA_SUCCESS", c"no error";
    INVALID_VALUE = 1, c"CUDA_ERROR_INVALID_VALUE", c"invalid argument";
    OUT_OF_MEMORY = 2, c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory";
    INVALID_DEVICE = 101, c"CUDA_ERROR_INVALID_DEVICE", c"invalid device ordinal";
    INVALID_PTX = 218, c"CUDA_ERROR_INVALID_PTX", c"a PTX JIT compilation failed";
    INVALID_HANDLE = 400, c"CUDA_ERROR_INVALID_HANDLE", c"invalid resource handle";
    NOT_FOUND = 500, c"CUDA_ERROR_NOT_FOUND", c"named symbol not found";
    LAUNCH_FAILED = 719, c"CUDA_ERROR_LAUNCH_FAILED", c"unspecified launch failure (the emulator said what it was)";
}

/// # Safety
/// `text` is null or may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorName(result: CUresult, text: *mut *const c_char) -> CUresult {
    // SAFETY: the caller's part of the contract.
    unsafe { put(text, describe(result).map(|(name, _)| name)) }
}

/// # Safety
/// `text` is null or may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorString(result: CUresult, text: *mut *const c_char) -> CUresult {
    // SAFETY: the caller's part of the contract.
    unsafe { put(text, describe(result).map(|(_, text)| text)) }
}

unsafe fn put(to: *mut *const c_char, text: Option<&'static CStr>) -> CUresult {
    let Some(text) = text.filter(|_| !to.is_null()) else { return INVALID_VALUE };
    // SAFETY: not null; the caller of the exported function vouches for the rest.
    unsafe { *to = text.as_ptr() };
    SUCCESS
}
