//! Deploying without downtime: prepare, switch, go back.

pub mod abort;
pub mod init;
pub mod rollback;
pub mod status;
pub mod switch;
