//! A stand-in for libcuda: the driver's functions that Foundry calls, over the emulator instead of a GPU.
//!
//! It is loaded only where it is asked for by its path (`FOUNDRY_CUDA_LIB`), and never found by accident. It has one device,
//! one thread of work, and no time:
//!
//! - a launch runs at once, and what the emulator reports is printed and breaks the device, as an illegal address breaks a
//!   real one: every later call fails;
//! - a copy to the host is done when the stream is waited for and not before, so a program that does not wait reads what a
//!   GPU would give it: nothing yet.
//!
//! `FOUNDRY_STANDIN_MEMORY` is its memory in bytes. `FOUNDRY_STANDIN_WATCH=addresses` leaves out the checks for races and for
//! reads of what nobody wrote, for long runs of kernels that are watched elsewhere; addresses are always checked.
//! `FOUNDRY_STANDIN_LOG` names a file to which the calls that wait for the device are appended, and the names
//! of the kernels that are launched and of the functions of cuBLAS that multiply. `FOUNDRY_STANDIN_CAPABILITY=7.5` makes it an older device than 8.0.
//!
//! Under the name libcublas.so it is a stand-in for cuBLAS too, since it exports the functions of both: whoever looks for
//! that name and finds this file gets the library that is already there, with the same memory.

mod blas;
mod device;
mod driver;
mod result;
