//! Errors as gRPC codes: one table.
//!
//! | what | code |
//! | --- | --- |
//! | another operation holds the environment | ABORTED |
//! | the state does not allow it | FAILED_PRECONDITION |
//! | no such thing | NOT_FOUND |
//! | shutting down, engine away, disk full | UNAVAILABLE |
//! | the rest | INTERNAL |

use stratus_core::fault::{Fault, Faulty, chain};
use stratus_core::router::RouterError;
use stratus_core::store::StoreError;
use tonic::Status;

use crate::control::ApplyError;
use crate::engine::ControlError;
use crate::engine::act::ActError;
use crate::engine::admission::SubmitError;
use crate::engine::route::UpdateError;

/// Of a submission.
pub fn submit(error: &SubmitError) -> Status {
    let message = chain(error);
    match error {
        SubmitError::Held { .. } | SubmitError::HeldByStuck { .. } => Status::aborted(message),
        SubmitError::Plan(_) => Status::failed_precondition(message),
        SubmitError::ShuttingDown => Status::unavailable(message),
        SubmitError::Store(error) => store(error),
    }
}

/// Of a cancel, resume or resolve.
pub fn control(error: &ControlError) -> Status {
    let message = chain(error);
    match error {
        ControlError::Unknown(_) => Status::not_found(message),
        ControlError::Ended(_)
        | ControlError::Committed(_)
        | ControlError::Stuck(_)
        | ControlError::NotStuck(_) => Status::failed_precondition(message),
        ControlError::Store(error) => store(error),
    }
}

/// Of applying the configuration.
pub fn apply(error: &ApplyError) -> Status {
    match error {
        ApplyError::NoFile
        | ApplyError::Config(_)
        | ApplyError::NeedsRestart
        | ApplyError::LiveRemoved(_) => Status::failed_precondition(chain(error)),
        ApplyError::Store(error) => store(error),
        ApplyError::Act(error) => act(error),
    }
}

/// Of reading a tenant's nginx files.
pub fn update(error: &UpdateError) -> Status {
    match error {
        UpdateError::Rules(_) | UpdateError::Act(ActError::Router(RouterError::Refused { .. })) => {
            Status::failed_precondition(chain(error))
        }
        UpdateError::Act(error) => act(error),
    }
}

/// Of the store.
pub fn store(error: &StoreError) -> Status {
    match error {
        StoreError::Busy { .. } => Status::aborted(chain(error)),
        StoreError::Full => Status::unavailable(chain(error)),
        StoreError::Unreadable { .. } | StoreError::Failed { .. } => Status::internal(chain(error)),
    }
}

/// Of something done outside an operation.
pub fn act(error: &ActError) -> Status {
    match error.fault() {
        Fault::Transient => Status::unavailable(chain(error)),
        Fault::Permanent => Status::internal(chain(error)),
    }
}

/// Of anything that knows its fault.
pub fn faulty(error: &dyn Faulty) -> Status {
    let text = chain(error);
    match error.fault() {
        Fault::Transient => Status::unavailable(text),
        Fault::Permanent => Status::internal(text),
    }
}
