//! The gRPC interface of Stratus: generated messages and services, and how their enums look in JSON. Nothing else.

pub mod json;

/// Every method of every service. Shape: `/stratus.v1.Operations/Submit`.
pub const METHODS: &[&str] = include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// Version 1 of the interface.
#[expect(clippy::pedantic, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("stratus.v1");
}
