//! What every implementation of a trait of the domain must do, as functions that run on fakes and on real things.

pub mod router;
