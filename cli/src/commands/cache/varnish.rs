//! `cache.varnish.clear`: the page cache in front of nginx, or parts of it.

use clap::Args;
use stratus_proto::v1::{CacheKind, ClearRequest};

use crate::error::CliError;
use crate::session::Session;

/// Clear all of Varnish, or parts of it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus cache.varnish.clear --tag cat_p_42")]
pub struct Clear {
    /// Only this address; may be given again
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    /// Only pages with this tag; may be given again
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
}

impl Clear {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = ClearRequest {
            kind: CacheKind::Varnish.into(),
            urls: self.url,
            tags: self.tag,
            ..ClearRequest::default()
        };
        let reply = super::ask(session, request).await?;
        super::conclude(session, &reply, "Varnish")
    }
}
