//! The commands about nginx.

pub mod update;
