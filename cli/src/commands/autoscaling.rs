//! `autoscaling.*`: the pool of an environment.

pub mod reinit;
