//! `php.*`: how PHP runs in an environment.

pub mod options;
