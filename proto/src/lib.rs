//! The gRPC interface of Stratus: generated messages and services, and how their enums look in JSON. Nothing else.

pub mod json;

/// Version 1 of the interface.
#[expect(clippy::pedantic, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("stratus.v1");
}
