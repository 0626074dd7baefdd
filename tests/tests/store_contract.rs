//! The contract of the store, in memory and in SQLite.

use stratus_core::fake::MemoryStore;
use stratus_server::store::SqliteStore;
use stratus_tests::contracts::store as contract;

macro_rules! contract {
    ($($law:ident)*) => {
        mod memory {
            use super::*;

            $(#[tokio::test]
            async fn $law() {
                contract::$law(&MemoryStore::default()).await;
            })*
        }

        mod sqlite {
            use super::*;

            $(#[tokio::test]
            async fn $law() {
                let folder = tempfile::tempdir().unwrap();
                let store = SqliteStore::open(&folder.path().join("state.db")).unwrap();
                contract::$law(&store).await;
            })*
        }
    };
}

contract! {
    one_operation_per_environment
    events_are_numbered_and_kept
    stuck_keeps_the_environment
    operations_are_listed_newest_first
    a_generation_is_never_used_twice
    state_comes_back
    pools_and_pins_are_kept_until_forgotten
    a_cache_waits_once
}
