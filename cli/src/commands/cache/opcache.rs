//! `cache.opcache.flush`: PHP's compiled scripts, on every live member.

use clap::Args;
use stratus_proto::v1::CacheKind;

use crate::error::CliError;
use crate::session::Session;

/// Make every live member forget its compiled scripts
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus cache.opcache.flush")]
pub struct Flush {}

impl Flush {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        super::whole(session, CacheKind::Opcache, "OPcache").await
    }
}
