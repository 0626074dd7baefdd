//! Snapshots of real trees on real filesystems. Needs root: owners, devices and mounts are part of what is tested.

mod bed;
mod changes;
mod failures;
mod linking;
mod properties;
mod refusals;
mod removal;
mod snapshots;
