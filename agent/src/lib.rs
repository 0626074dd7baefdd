//! Everything of Stratus that touches a machine, as a library.

pub mod tree;
