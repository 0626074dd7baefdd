//! `cache.cdn.purge`: every CDN, or parts of it.

use clap::Args;
use stratus_proto::v1::{CacheKind, ClearRequest};

use crate::error::CliError;
use crate::session::Session;

/// Purge every CDN, or parts of it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus cache.cdn.purge --url https://shop.example.test/about")]
pub struct Purge {
    /// Only this address; may be given again
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    /// Only pages with this tag (Fastly, Cloudflare); may be given again
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
}

impl Purge {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = ClearRequest {
            kind: CacheKind::Cdn.into(),
            urls: self.url,
            tags: self.tag,
            ..ClearRequest::default()
        };
        let reply = super::ask(session, request).await?;
        super::conclude(session, &reply, "CDN")
    }
}
