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
