//! `crons.*`: commands that run at set times.

pub mod list;
pub mod logs;
pub mod run;
pub mod start;
pub mod stop;
