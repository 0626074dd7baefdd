//! nginx: what it serves, how it is told, and what it says of its requests.
//!
//! **Invariant:** nginx's language is known in this folder alone.
//!
//! ```text
//! RouteTable ──render──► text ──test──► rename ──SIGHUP──► confirmed by /.stratus/revision, or the old text is back
//! a tenant's files ──read──► rules, stored with the table and rendered with it
//! Links ──flip──► live, previous: the next request goes elsewhere, nothing is reloaded
//! ```

mod access;
mod apply;
pub mod close;
mod config;
mod confirm;
pub mod control;
mod disk;
pub mod flip;
mod guard;
mod logs;
pub mod master;
mod place;
pub mod render;
mod share;
pub mod tenant;
mod trial;
pub mod version;
mod visit;

pub use access::AccessRecords;
pub use apply::NginxRouter;
pub use render::{AccessLog, DebugHeader, Settings, Tls, Varnish};
