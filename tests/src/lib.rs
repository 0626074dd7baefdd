//! The test harness: the laws that every operation obeys, and the contracts that fakes and the real thing share.

pub mod contracts;
pub mod laws;
