//! Everything of Stratus that touches a machine: Docker, PHP-FPM, nginx and file trees.
//!
//! **Invariant:** bollard is named in `docker` alone, nginx's language in `nginx` alone. No journal, no plan, no gRPC
//! server: this crate implements the traits of `stratus-core` and nothing decides here what comes next.

pub mod cache;
pub mod docker;
pub mod fetch;
pub mod fpm;
pub mod host;
pub mod layout;
pub mod nginx;
pub mod probe;
pub mod snapshots;
pub mod tree;
