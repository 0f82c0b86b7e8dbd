//! The checked-in texts of the generator are what it writes.

use foundry_kernels::cuda::ptxgen;

#[test]
fn test_generated__texts_are_what_is_checked_in() {
    for (file, text) in ptxgen::texts() {
        let path = format!("{}/../../kernels/ptx/generated/{file}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("FOUNDRY_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        for (line, (kept, made)) in (1..).zip(kept.lines().zip(text.lines())) {
            assert_eq!(kept, made, "{file}:{line}");
        }
        assert_eq!(kept, text, "{file}");
    }
}

/// What is counted, and which barriers and masks are needed, is the same for both formats of 16 bits.
#[test]
fn test_generated__f16_is_bf16_but_for_two_instructions() {
    let texts = ptxgen::texts();
    let code = |file: &str| {
        let (_, text) = texts.iter().find(|(name, _)| name == file).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("//"));
        lines.map(|line| line.to_owned() + "\n").collect::<String>()
    };
    for file in ["attention_F_forward", "attention_F_backward", "cast_F", "gemm_F"] {
        let [bf16, f16] = ["bf16", "f16"].map(|name| code(&(file.replace('F', name) + ".ptx")));
        let renamed = bf16
            .replace("cvt.rn.bf16x2.f32", "cvt.rn.f16x2.f32")
            .replace("row.col.f32.bf16.bf16.f32", "row.col.f32.f16.f16.f32")
            .replace("_bf16_", "_f16_")
            .replace("cast_bf16", "cast_f16");
        assert!(f16.contains("_f16"), "{file}");
        assert_eq!(renamed, f16, "{file}");
    }
}
