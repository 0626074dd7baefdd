//! `OPcache`: PHP forgets its compiled scripts. Each member is a master of its own, so each is asked, by `FastCGI`; the
//! script lies with the members' configuration, where no visitor reaches it.

use std::path::Path;
use std::time::Duration;

use futures_util::future::try_join_all;
use stratus_core::Pool;
use stratus_core::cache::ClearError;
use stratus_core::fault::chain;

use crate::fpm::fastcgi::{self, FastCgiError};
use crate::fpm::request;
use crate::layout::Layout;

/// How long one member may take; less than the worker waits.
const LIMIT: Duration = Duration::from_secs(9);

/// Resets `OPcache` on every member of `live`.
pub(super) async fn reset(layout: &Layout, live: &Pool) -> Result<(), ClearError> {
    let members = (0..live.members).map(|index| async move {
        let socket = layout.socket(&live.id, index);
        member(&socket)
            .await
            .map_err(|error| in_member(live, index, error))
    });
    try_join_all(members).await.map(drop)
}

async fn member(socket: &Path) -> Result<(), ClearError> {
    let asked = fastcgi::call(socket, &request::opcache_reset(), b"", LIMIT).await;
    let answer = match asked {
        Ok(answer) => answer,
        // Its memory went with it.
        Err(FastCgiError::NotListening(_)) => return Ok(()),
        Err(error) => {
            let detail = chain(&error);
            return Err(ClearError::Unavailable { detail });
        }
    };
    let said = String::from_utf8_lossy(&answer.body);
    match (answer.status, said.trim()) {
        (200, "reset" | "off") => Ok(()),
        (200, "refused") => Err(refused(
            "PHP refuses to reset OPcache; leave opcache.restrict_api and disable_functions=opcache_reset out of php.ini"
                .to_owned(),
        )),
        (404, _) => Err(refused(
            "the pool was made by an older version; run zerodowntime.init and zerodowntime.switch".to_owned(),
        )),
        _ => Err(refused(answer.excerpt())),
    }
}

fn refused(detail: String) -> ClearError {
    ClearError::Refused { detail }
}

fn in_member(live: &Pool, index: u16, error: ClearError) -> ClearError {
    let named = |detail: String| format!("member {index} of {}: {detail}", live.id);
    match error {
        ClearError::Unavailable { detail } => ClearError::Unavailable {
            detail: named(detail),
        },
        ClearError::Throttled { detail, after } => ClearError::Throttled {
            detail: named(detail),
            after,
        },
        ClearError::Refused { detail } => refused(named(detail)),
    }
}
