//! `cache.redis.clear`: the databases of Redis that the configuration names as caches.

use clap::Args;
use stratus_proto::v1::CacheKind;

use crate::error::CliError;
use crate::session::Session;

/// Empty the Redis databases that are caches; never sessions
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus cache.redis.clear")]
pub struct Clear {}

impl Clear {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        super::whole(session, CacheKind::Redis, "Redis cache").await
    }
}
