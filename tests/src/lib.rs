//! The harness of Stratus's outer tests, as a library.

pub mod load;
