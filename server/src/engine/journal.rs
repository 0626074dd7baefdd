//! Writes events through the store and announces them.

use std::sync::Arc;

use stratus_core::operation::{Entry, Event, Outcome};
use stratus_core::store::StoreError;
use stratus_core::{OperationId, Store};

use crate::clock::Clock;
use crate::engine::feed::{Feed, Notice};

/// The one way to write events.
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    feed: Feed,
}

impl Journal {
    /// A journal in `store`, announced on `feed`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, feed: Feed) -> Self {
        Self { store, clock, feed }
    }

    /// Where events are announced.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Appends an event and returns its number; it is durable when this returns.
    pub async fn append(&self, operation: &OperationId, event: &Event) -> Result<u64, StoreError> {
        let number = self
            .store
            .append(operation, self.clock.now_ms(), event)
            .await?;
        self.feed.announce(Notice::Appended(operation.clone()));
        Ok(number)
    }

    /// Writes down how an operation ended.
    pub async fn finish(
        &self,
        operation: &OperationId,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        self.store
            .finish(operation, self.clock.now_ms(), outcome)
            .await?;
        self.feed.announce(Notice::Appended(operation.clone()));
        Ok(())
    }

    /// The events after number `after`.
    pub async fn read(
        &self,
        operation: &OperationId,
        after: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        self.store.journal(operation, after).await
    }
}
