//! The contract of `stratus_core::Router`.
