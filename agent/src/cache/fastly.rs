//! Fastly: purges of a service, of surrogate keys, of addresses.
//!
//! Source: <https://www.fastly.com/documentation/reference/api/purging/>

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use reqwest::Url;
use stratus_core::cache::{ClearError, Scope};
use stratus_core::environment::caches::Fastly;

use super::http::{self, Http, refused};

const ENDPOINT: &str = "https://api.fastly.com";
/// Surrogate keys in one request.
const KEYS_AT_ONCE: usize = 256;
/// Addresses, each of which is a request, at a time: a hundred are purged within the time of a try.
const URLS_AT_ONCE: usize = 10;
const ADVICE: &str = "check caches.fastly: its service, its token and the token's scope";

/// Purges `scope`.
pub(super) async fn purge(http: &Http, fastly: &Fastly, scope: &Scope) -> Result<(), ClearError> {
    let service = format!("service/{}", fastly.service);
    let parts = match scope {
        Scope::All { .. } => {
            let path = format!("{service}/purge_all");
            return call(http, fastly, &path, None).await;
        }
        Scope::Parts(parts) => parts,
    };
    let keys: Vec<&str> = parts.tags.iter().map(String::as_str).collect();
    for keys in keys.chunks(KEYS_AT_ONCE) {
        let path = format!("{service}/purge");
        call(http, fastly, &path, Some(&keys.join(" "))).await?;
    }
    let mut purges = Vec::new();
    for address in &parts.urls {
        purges.push(purge_address(http, fastly, address));
    }
    let purges = stream::iter(purges).buffer_unordered(URLS_AT_ONCE);
    purges.try_collect().await
}

async fn purge_address(http: &Http, fastly: &Fastly, address: &str) -> Result<(), ClearError> {
    // The API takes them without their scheme.
    let bare = address.split_once("://").map_or(address, |(_, rest)| rest);
    call(http, fastly, &format!("purge/{bare}"), None).await
}

async fn call(
    http: &Http,
    fastly: &Fastly,
    path: &str,
    keys: Option<&str>,
) -> Result<(), ClearError> {
    let endpoint = fastly.endpoint.as_deref().unwrap_or(ENDPOINT);
    let url = format!("{}/{path}", endpoint.trim_end_matches('/'));
    let url = Url::parse(&url).map_err(|error| refused(format!("{url:?}: {error}")))?;
    let mut request = http
        .client()?
        .post(url)
        .header("fastly-key", fastly.token.expose())
        .header("accept", "application/json");
    if let Some(keys) = keys {
        request = request.header("surrogate-key", keys);
    }
    let answer = http::send("Fastly", request).await?;
    answer.judge("Fastly", ADVICE).map(drop)
}
