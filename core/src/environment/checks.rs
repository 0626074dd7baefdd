//! What a deploy looks at after the switch, and what visitors get during maintenance.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The look at the site through nginx that ends a deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Path that is fetched.
    pub path: String,
    /// Status it must answer; none: anything below 500.
    pub status: Option<u16>,
    /// Text that the body must hold.
    pub body: Option<String>,
    /// How long the site has to answer so.
    pub within: Duration,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            status: None,
            body: None,
            within: Duration::from_secs(10),
        }
    }
}

/// What visitors get while an environment is in maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// The page, relative to the docroot of the live release; none: a plain sentence.
    pub page: Option<PathBuf>,
    /// What `Retry-After` says.
    pub retry_after: Duration,
    /// Addresses and networks that still reach the site. Shape: `203.0.113.7`, `2001:db8::/32`.
    pub allow: Vec<String>,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            page: None,
            retry_after: Duration::from_mins(5),
            allow: Vec::new(),
        }
    }
}
