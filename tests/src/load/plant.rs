//! Faults on purpose: a tiny server and a proxy that fail exactly as told, to test the load client with.

mod proxy;
mod server;

pub use proxy::{Fault, Proxy};
pub use server::{Reply, Seen, Server, Then};
