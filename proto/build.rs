//! Generates the gRPC code with protox: no system protoc is needed. And the list of all methods, for who decides on each.

use std::path::Path;

const FILES: [&str; 8] = [
    "stratus/v1/caches.proto",
    "stratus/v1/crons.proto",
    "stratus/v1/types.proto",
    "stratus/v1/operations.proto",
    "stratus/v1/environments.proto",
    "stratus/v1/releases.proto",
    "stratus/v1/doctor.proto",
    "stratus/v1/nginx.proto",
];

/// Enum fields that JSON shows by name, in lower case.
const ENUM_FIELDS: [(&str, &str); 6] = [
    ("stratus.v1.StepReport.outcome", "outcome"),
    ("stratus.v1.Operation.outcome", "outcome"),
    ("stratus.v1.Operation.kind", "kind"),
    ("stratus.v1.SubmitReply.kind", "kind"),
    ("stratus.v1.WatchReply.phase", "phase"),
    ("stratus.v1.Finding.health", "health"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let services = descriptors.file.iter().flat_map(|file| {
        let services = file.service.iter();
        services.map(move |service| (file.package(), service))
    });
    let methods: Vec<String> = services
        .flat_map(|(package, service)| {
            let path = move |method: &str| format!("/{package}.{}/{method}", service.name());
            service.method.iter().map(move |method| path(method.name()))
        })
        .collect();
    let out = std::env::var("OUT_DIR")?;
    let text = format!("&{methods:?}");
    std::fs::write(Path::new(&out).join("methods.rs"), text)?;
    let mut builder = tonic_prost_build::configure()
        .message_attribute(".", "#[derive(::serde::Serialize)]")
        .message_attribute(".", "#[serde(rename_all = \"snake_case\")]")
        .enum_attribute(
            ".stratus.v1.SubmitRequest.action",
            "#[derive(::serde::Serialize)]",
        );
    for (field, function) in ENUM_FIELDS {
        let attribute = format!("#[serde(serialize_with = \"crate::json::{function}\")]");
        builder = builder.field_attribute(field, attribute);
    }
    builder.compile_fds(descriptors)?;
    Ok(())
}
