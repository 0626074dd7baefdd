//! Snapshots of real trees on real filesystems. Needs root: owners, devices and mounts are part of what is tested.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bed;
mod changes;
mod failures;
mod linking;
mod properties;
mod refusals;
mod removal;
mod snapshots;
