//! The contract of the store, in memory and in SQLite.

use stratus_core::fake::MemoryStore;
use stratus_server::store::SqliteStore;
use stratus_tests::contracts::{crons, store};

macro_rules! contract {
    ($($contract:ident::$law:ident)*) => {
        mod memory {
            use super::*;

            $(#[tokio::test]
            async fn $law() {
                $contract::$law(&MemoryStore::default()).await;
            })*
        }

        mod sqlite {
            use super::*;

            $(#[tokio::test]
            async fn $law() {
                let folder = tempfile::tempdir().unwrap();
                let store = SqliteStore::open(&folder.path().join("state.db")).unwrap();
                $contract::$law(&store).await;
            })*
        }
    };
}

contract! {
    store::one_operation_per_environment
    store::events_are_numbered_and_kept
    store::stuck_keeps_the_environment
    store::operations_are_listed_newest_first
    store::a_generation_is_never_used_twice
    store::state_comes_back
    store::pools_and_pins_are_kept_until_forgotten
    store::a_cache_waits_once
    crons::a_slot_is_recorded_once
    crons::a_skipped_slot_grows
    crons::one_run_at_a_time
    crons::a_lease_holds_runs_back
    crons::a_lease_of_a_wrong_clock_does_not_come_back
    crons::cursors_of_unknown_crons_are_forgotten
    crons::runs_are_in_the_order_in_which_they_were_recorded
    crons::old_runs_are_forgotten
}
