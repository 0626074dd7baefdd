//! The harness of Stratus's outer tests, as a library.

pub mod demo;
pub mod load;
pub mod stage;
