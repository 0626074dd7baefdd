//! Snapshots of file trees: copies a working tree into an immutable release.
//!
//! Knows nothing of environments, generations or containers. Every function blocks; call them where blocking is allowed.
//!
//! ```text
//! <releases>/.new-<operation>/   a release under construction (0700): tree/ and manifest
//!        │  publish: (syncfs done) rename manifest, rename tree, fsync of the folder
//!        ▼
//! <releases>/<digest>/           the release; <digest>.manifest beside it
//!        │  remove: rename
//!        ▼
//! <releases>/.trash/             root-only (0700), emptied by descriptor, at any time, by anyone, again
//! ```
//!
//! A release is named after the BLAKE3 of what it holds (the content part of its manifest): owner, paths, modes, mtimes,
//! content hashes and link targets. Extended attributes and ACLs are not copied, hard links become separate files.
//!
//! **One moment.** Walk, copy, walk again; what the second walk finds changed is copied again, three times at most.
//! If it finds nothing, every file stood still from before it was read until after the last file was read, so at the
//! moment between both the release equalled the source. `tree/stat.rs` says what "unchanged" means.

mod copy;
mod error;
mod forecast;
mod halt;
mod links;
mod list;
mod manifest;
mod merge;
pub(crate) mod name;
mod peek;
mod place;
mod pool;
mod publish;
mod remove;
mod request;
mod restamp;
pub(crate) mod stat;
pub(crate) mod sys;
mod take;
pub(crate) mod trash;
mod verify;
mod walk;

pub use error::{Reason, Refusals, Refused, TreeError};
pub use forecast::{Forecast, preflight};
pub use halt::{CancelFlag, Counts, Phase, Progress};
pub use list::{ReleaseInfo, header, list};
pub use manifest::{Header, ManifestError, Rewritten, Stripped};
pub use name::Shown;
pub use peek::{Peek, PeekError};
pub use remove::{Swept, discard, remove, sweep};
pub use request::{Limits, Request, Verify};
pub use restamp::restamp;
pub use take::{Snapshot, take};
pub use verify::{Difference, Drift, compare, verify};
