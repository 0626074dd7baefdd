//! How a caller watches a running snapshot and stops it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::error::TreeError;

/// Stops a snapshot, a removal or a comparison from another thread, within a second.
#[derive(Debug, Default)]
pub struct CancelFlag {
    raised: AtomicBool,
    lock: Mutex<()>,
    bell: Condvar,
}

impl CancelFlag {
    /// Asks for the stop; it cannot be taken back.
    pub fn cancel(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.raised.store(true, Ordering::Release);
        self.bell.notify_all();
    }

    /// Whether the stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    pub(crate) fn check(&self) -> Result<(), TreeError> {
        if self.is_cancelled() {
            Err(TreeError::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Lets time pass (the clock must tick), unless cancelled.
    pub(crate) fn pause(&self, time: Duration) -> Result<(), TreeError> {
        if !time.is_zero() {
            let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            let raised = |(): &mut ()| !self.is_cancelled();
            drop(
                self.bell
                    .wait_timeout_while(guard, time, raised)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
        self.check()
    }
}

/// What a running snapshot is doing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reading the source's folders for the first time.
    #[default]
    Walking,
    /// Copying and linking.
    Copying,
    /// Reading the source's folders again, while the disk takes in the copies.
    Checking,
    /// Hashing source and release (`Verify::Yes` only).
    Verifying,
    /// Writing the manifest, and giving the release its name.
    Publishing,
}

const PHASES: [Phase; 5] = [
    Phase::Walking,
    Phase::Copying,
    Phase::Checking,
    Phase::Verifying,
    Phase::Publishing,
];

/// Counters that a running snapshot moves and anybody may read.
#[derive(Default)]
pub struct Progress {
    watch: Option<Box<dyn Fn(Phase) + Send + Sync>>,
    phase: AtomicU8,
    files: AtomicU64,
    bytes: AtomicU64,
    copied: AtomicU64,
    linked: AtomicU64,
    total_files: AtomicU64,
    total_bytes: AtomicU64,
}

/// The counters at one moment; a rate is the difference of two.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// What is going on.
    pub phase: Phase,
    /// Files done: copied or linked. A file that is copied again counts again.
    pub files: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Files copied.
    pub copied: u64,
    /// Files linked from the previous release.
    pub linked: u64,
    /// Files in the source; zero until it was walked.
    pub total_files: u64,
    /// Bytes to copy, as predicted; zero until the source was walked.
    pub total_bytes: u64,
}

impl Progress {
    /// Counters that also call back when a phase begins. The snapshot waits for the call to return.
    pub fn watched(watch: impl Fn(Phase) + Send + Sync + 'static) -> Self {
        Self {
            watch: Some(Box::new(watch)),
            ..Self::default()
        }
    }

    /// Reads the counters.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (copied, linked) = (read(&self.copied), read(&self.linked));
        Counts {
            phase: PHASES[usize::from(self.phase.load(Ordering::Relaxed))],
            files: read(&self.files),
            bytes: read(&self.bytes),
            copied,
            linked,
            total_files: read(&self.total_files),
            total_bytes: read(&self.total_bytes),
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        if let Some(watch) = &self.watch {
            watch(phase);
        }
    }

    pub(crate) fn expect(&self, files: u64, bytes: u64) {
        self.total_files.store(files, Ordering::Relaxed);
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn copied(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.copied.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn linked(&self, files: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
        self.linked.fetch_add(files, Ordering::Relaxed);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts().fmt(f)
    }
}
