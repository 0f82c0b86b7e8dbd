//! The same bits for any number of threads (row A6), at any size.

use crate::experiment::{Experiment, Extent, differences, models};
use foundry_models::train::run_folder::Wish;
use rayon::ThreadPoolBuilder;

/// A6: whole runs on each number of threads, `repeats` times; every file of the run folder is the same.
///
/// # Panics
/// If one is not.
#[must_use]
pub fn threads(extent: Extent, numbers: &[usize], repeats: usize) -> String {
    let mut runs = 0;
    for model in models(extent) {
        let mut e = Experiment::new(&model, extent);
        // Enough rows for the kernels to cut their work in pieces.
        e.config.data.batch_size = 16;
        let mut first = None;
        for &n in numbers {
            let pool = ThreadPoolBuilder::new().num_threads(n).build().expect("threads");
            for _ in 0..repeats {
                let files = pool.install(|| e.finish(Wish::Start));
                e.clear();
                let first = first.get_or_insert_with(|| files.clone());
                let differ = differences(first, &files);
                assert!(differ.is_empty(), "{}: {n} threads: {differ:?}", e.architecture());
                runs += 1;
            }
        }
    }
    format!("{runs} runs on {numbers:?} threads: the same bits")
}
