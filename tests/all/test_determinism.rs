//! The same bits for any number of threads; `soak A6` does the same at full size.

use foundry_tests::determinism;
use foundry_tests::experiment::{Extent, SMALL};

#[test]
fn test_determinism__any_number_of_threads_gives_the_same_bits() {
    let extent = Extent { width: 64, steps: 4, rows: 60, ..SMALL };
    let report = determinism::threads(extent, &[1, 2, 3, 4, 8], 1);
    assert!(report.ends_with("the same bits"), "{report}");
}
