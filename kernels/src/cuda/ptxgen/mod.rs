//! The kernels for tensor cores, written by a program: their loops are unrolled by hand no more than once.
//!
//! [`texts`] makes the files of `kernels/ptx/generated`, which are checked in, so that they are read, assembled and emulated
//! like the rest; a test compares. `FOUNDRY_BLESS=1 cargo test -p foundry-ptx-emu generated` writes them anew.
//!
//! | | |
//! |---|---|
//! | `builder` | instructions with typed registers |
//! | `tile` | tiles of shared memory: swizzled, copied to asynchronously, read as fragments of `mma` |
//! | `attention` | attention, forward and backward, bf16 |
//! | `cast` | from f32 to bf16 |
//! | `gemm` | products with epilogues, bf16 and tf32 |

mod attention;
mod builder;
mod cast;
mod gemm;
mod tile;

/// The head that all texts share.
const HEAD: &str = ".version 7.0\n.target sm_80\n.address_size 64\n";

/// Every generated text: the name of its file, and what is in it.
#[must_use]
pub fn texts() -> Vec<(&'static str, String)> {
    let text = |lesson: &str, entries: Vec<String>| {
        let lesson: String =
            lesson.trim().lines().map(|l| format!("// {l}").trim_end().to_owned() + "\n").collect();
        format!("{lesson}{HEAD}\n{}", entries.join("\n"))
    };
    vec![
        (
            "attention_bf16_forward.ptx",
            text(&attention::forward_lesson(), attention::forward_entries()),
        ),
        (
            "attention_bf16_backward.ptx",
            text(attention::BACKWARD_LESSON, attention::backward_entries()),
        ),
        ("cast_bf16.ptx", text(cast::LESSON, vec![cast::entry()])),
        (
            "gemm_bf16.ptx",
            text(&gemm::lesson(builder::Format::Bf16), gemm::entries(builder::Format::Bf16)),
        ),
        (
            "gemm_tf32.ptx",
            text(&gemm::lesson(builder::Format::Tf32), gemm::entries(builder::Format::Tf32)),
        ),
    ]
}
