//! The threads a snapshot works with: its own, so that it never starves anybody else's.

use std::thread::available_parallelism;

use super::error::TreeError;

/// More threads only queue up in the filesystem's journal.
const MOST: usize = 8;

/// Runs a piece of work on a fresh pool of threads, which ends with it.
pub(crate) fn run<T: Send>(
    work: impl FnOnce() -> Result<T, TreeError> + Send,
) -> Result<T, TreeError> {
    let threads = available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, MOST);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|n| format!("tree-{n}"))
        .build()
        .map_err(|e| TreeError::Request(format!("cannot start threads: {e}")))?
        .install(work)
}
