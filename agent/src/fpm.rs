//! PHP-FPM: how a member is configured, asked, found ready and drained. Knows sockets and folders, no engine.

pub mod answer;
pub mod carrier;
pub mod config;
pub mod drain;
mod durable;
pub mod fastcgi;
pub mod generation;
pub mod ini;
pub mod ready;
pub mod record;
pub mod request;
pub mod sessions;
pub mod shared;
pub mod status;
pub mod task;

#[cfg(test)]
pub(crate) mod sample;
