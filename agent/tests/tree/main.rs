//! Snapshots of real trees on real filesystems. Needs root: owners, devices and mounts are part of what is tested.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod bed;
mod changes;
mod failures;
mod linking;
mod properties;
mod refusals;
mod removal;
mod snapshots;
