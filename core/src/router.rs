//! The proxy in front of the pools, as the domain needs it.

use async_trait::async_trait;

use crate::fault::{Fault, Faulty};
use crate::route::{Closed, Links, RouteTable, Site};
use crate::tenant::{TenantError, TenantRules};
use crate::{EnvironmentName, Generation};

/// Makes nginx serve a route table and points environments at generations.
///
/// Every call reads "ensure".
#[async_trait]
pub trait Router: Send + Sync {
    /// Makes nginx serve `table`: nothing happens if it already does; otherwise the text is rendered, tested, put in
    /// place, loaded and confirmed, or the old text is put back and the error says why.
    async fn load(&self, table: &RouteTable) -> Result<Loaded, RouterError>;

    /// Tests `table` without serving it.
    async fn test(&self, table: &RouteTable) -> Result<(), RouterError>;

    /// Reads what the owner of `site`'s working tree adds to it, and checks it against what is allowed. Changes nothing;
    /// the empty rules where he adds nothing.
    ///
    /// # Errors
    /// Everything that is not allowed, by file, line and directive.
    async fn read_rules(&self, site: &Site) -> Result<TenantRules, TenantError>;

    /// Waits until no worker of an older configuration is left, bounded.
    async fn settle(&self) -> Result<(), RouterError>;

    /// Points the symlinks of `environment`; durable when it returns.
    async fn flip(&self, environment: &EnvironmentName, links: Links) -> Result<(), RouterError>;

    /// Where the symlinks point.
    async fn links(&self, environment: &EnvironmentName) -> Result<Links, RouterError>;

    /// Closes a site to visitors, or opens it again, at once and without a reload; durable when it returns.
    async fn set_closed(
        &self,
        environment: &EnvironmentName,
        why: Closed,
        closed: bool,
    ) -> Result<(), RouterError>;

    /// Whether a site is closed for that reason.
    async fn is_closed(
        &self,
        environment: &EnvironmentName,
        why: Closed,
    ) -> Result<bool, RouterError>;

    /// Keeps the logs of visitors' requests bounded, and removes those of environments that are gone.
    async fn tend_logs(&self) -> Result<(), RouterError> {
        Ok(())
    }

    /// Fetches `path` of `host` once, as a visitor does.
    async fn visit(&self, host: &str, path: &str) -> Result<Visit, RouterError>;

    /// Asks nginx, through the environment's own upstream, until every one of `members` answers as `generation`.
    async fn confirm(
        &self,
        environment: &EnvironmentName,
        generation: Generation,
        members: u16,
    ) -> Result<(), RouterError>;
}

/// What a visitor gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Its status.
    pub status: u16,
    /// Its body, as far as it was read.
    pub body: Vec<u8>,
}

/// What `load` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// The revision that nginx serves now.
    pub revision: u64,
    /// Whether nginx was reloaded.
    pub reloaded: bool,
}

/// Why nginx does not serve what it should.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// nginx does not run or does not answer; it may come back.
    #[error("nginx does not answer: {detail}")]
    Unavailable {
        /// What was tried and what to do.
        detail: String,
    },
    /// nginx is not there at all: what it will read when it starts is written.
    #[error("nginx does not run: {detail}")]
    Absent {
        /// How to start it.
        detail: String,
    },
    /// nginx refused the text.
    #[error("nginx refuses the configuration: {detail}")]
    Refused {
        /// nginx's own words.
        detail: String,
    },
    /// nginx accepted the text and did not serve it in time; the old one was put back.
    #[error("nginx did not confirm: {detail}")]
    NotConfirmed {
        /// What was asked and what came back.
        detail: String,
    },
    /// A file or link could not be written.
    #[error("{detail}")]
    Io {
        /// What was tried.
        detail: String,
        /// What came back.
        #[source]
        source: std::io::Error,
    },
}

impl Faulty for RouterError {
    fn fault(&self) -> Fault {
        match self {
            Self::Unavailable { .. } | Self::Absent { .. } => Fault::Transient,
            _ => Fault::Permanent,
        }
    }
}
