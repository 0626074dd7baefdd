//! The load client: HTTP/1.1 clients that see every lost request exactly, and count it.
//!
//! Its honesty is its purpose. Three rules follow from that:
//!
//! * Every request that was begun is finished and counted once, as answered or as one class of
//!   failure: `requests == answered_php + answered_static + failed`. A stop lets what is in flight end.
//! * Nothing is repeated. The one thing that browsers forgive, a connection that the server closed
//!   while it was idle, is looked for *before* the request is written; after that it is a failure.
//! * A run that was answered nothing has not passed.
//!
//! ```text
//! Plan ──► Load::start ──► clients (keep-alive, one-shot) ──► Tally ──► Report
//!                            │ Pace: when and whether to send      Table, JSON
//!                            │ Marks: which generation may answer
//!                            └ Connection ─ Answer: the bytes
//! ```
//!
//! It must not know Stratus: it speaks HTTP to a loopback address and reads one header.

mod answer;
mod client;
mod connection;
mod failure;
mod histogram;
mod marks;
mod mix;
mod outgoing;
mod pace;
mod plan;
mod report;
mod run;
mod table;
mod tally;
mod target;

pub mod args;
pub mod control;
pub mod plant;

pub use failure::{Class, Example};
pub use histogram::Latency;
pub use mix::{Check, Mix, MixError, Request, RequestKind};
pub use plan::{Plan, PlanError};
pub use report::{ClientLine, FailureLine, Report, RequestLine, Verdict};
pub use run::{Handle, Load};
pub use tally::{ClientKind, Counts};
pub use target::{Target, TargetError};
