//! The kernels for tensor cores, written by a program: their loops are unrolled by hand no more than once.
//!
//! [`texts`] makes the files of `kernels/ptx/generated`, which are checked in, so that they are read, assembled and emulated
//! like the rest; a test compares. `FOUNDRY_BLESS=1 cargo test -p foundry-ptx-emu generated` writes them anew.
//!
//! | | |
//! |---|---|
//! | `builder` | instructions with typed registers |
//! | `tile` | tiles of shared memory: swizzled, copied to asynchronously, read as fragments of `mma` |
//! | `attention` | attention, forward and backward, bf16 and f16 |
//! | `cast` | from f32 to bf16 and f16 |
//! | `gemm` | products with epilogues, bf16, f16 and tf32 |

mod attention;
mod builder;
mod cast;
mod gemm;
mod tile;

use builder::Format;

/// The head that all texts share.
const HEAD: &str = ".version 7.0\n.target sm_80\n.address_size 64\n";

/// Every generated text: the name of its file, and what is in it.
#[must_use]
pub fn texts() -> Vec<(String, String)> {
    let text = |lesson: &str, entries: Vec<String>| {
        let lesson: String =
            lesson.trim().lines().map(|l| format!("// {l}").trim_end().to_owned() + "\n").collect();
        format!("{lesson}{HEAD}\n{}", entries.join("\n"))
    };
    let of_halves = |format: Format| {
        let name = format.name();
        vec![
            (
                format!("attention_{name}_forward.ptx"),
                text(&attention::forward_lesson(format), attention::forward_entries(format)),
            ),
            (
                format!("attention_{name}_backward.ptx"),
                text(&attention::backward_lesson(format), attention::backward_entries(format)),
            ),
            (format!("cast_{name}.ptx"), text(&cast::lesson(format), vec![cast::entry(format)])),
        ]
    };
    let product = |format: Format| {
        let text = text(&gemm::lesson(format), gemm::entries(format));
        (format!("gemm_{}.ptx", format.name()), text)
    };
    let mut all = [of_halves(Format::Bf16), of_halves(Format::F16)].concat();
    all.extend([Format::Bf16, Format::F16, Format::Tf32].map(product));
    all
}
