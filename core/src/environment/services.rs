//! What an environment relies on and Stratus never empties: its database and its sessions.

use serde::{Deserialize, Serialize};

use super::Setting;

/// The database that the application uses. Only shown to the operator's scripts, never connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Host name as the members see it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The database's name.
    pub name: String,
    /// Who connects.
    pub user: String,
    /// Their password.
    pub password: Setting,
}

/// Where PHP keeps its sessions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sessions {
    /// Files in a folder that all generations share.
    #[default]
    Files,
    /// A Redis server that is never cleared. Shape: `redis://redis-session:6380`.
    Redis(Setting),
}

impl Sessions {
    /// Whether they are files.
    pub fn is_files(&self) -> bool {
        *self == Self::Files
    }
}
