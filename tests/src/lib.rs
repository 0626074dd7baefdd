//! The harness of Stratus's outer tests, as a library.

pub mod cloud;
pub mod contracts;
pub mod crowd;
pub mod demo;
pub mod fastcgi;
pub mod laws;
pub mod load;
pub mod nginx;
pub mod pools;
pub mod program;
pub mod scripted;
pub mod services;
pub mod stage;
