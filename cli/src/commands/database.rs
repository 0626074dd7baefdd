//! `database.*`: the environment's database.

pub mod config;
