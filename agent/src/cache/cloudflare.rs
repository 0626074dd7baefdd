//! Cloudflare: purges of a zone, of cache tags, of addresses.
//!
//! Source: <https://developers.cloudflare.com/api/resources/cache/methods/purge/>

use serde_json::{Value, json};
use stratus_core::cache::{ClearError, Scope};
use stratus_core::environment::caches::Cloudflare;

use super::http::{self, Http, refused};

const ENDPOINT: &str = "https://api.cloudflare.com";
/// Addresses or tags in one request, in the smallest plan.
const ITEMS_AT_ONCE: usize = 30;
const ADVICE: &str = "check caches.cloudflare: its zone, its token and what that token may purge";

/// Purges `scope`.
pub(super) async fn purge(
    http: &Http,
    cloudflare: &Cloudflare,
    scope: &Scope,
) -> Result<(), ClearError> {
    let parts = match scope {
        Scope::All { .. } => {
            return call(http, cloudflare, json!({"purge_everything": true})).await;
        }
        Scope::Parts(parts) => parts,
    };
    for (key, items) in [("files", &parts.urls), ("tags", &parts.tags)] {
        let items: Vec<&String> = items.iter().collect();
        for items in items.chunks(ITEMS_AT_ONCE) {
            call(http, cloudflare, json!({key: items})).await?;
        }
    }
    Ok(())
}

async fn call(http: &Http, cloudflare: &Cloudflare, body: Value) -> Result<(), ClearError> {
    let endpoint = cloudflare.endpoint.as_deref().unwrap_or(ENDPOINT);
    let url = format!(
        "{}/client/v4/zones/{}/purge_cache",
        endpoint.trim_end_matches('/'),
        cloudflare.zone
    );
    let request = http
        .client()?
        .post(url)
        .bearer_auth(cloudflare.token.expose())
        .header("content-type", "application/json")
        .body(body.to_string());
    let answer = http::send("Cloudflare", request)
        .await?
        .judge("Cloudflare", ADVICE)?;
    // A 200 alone does not say that anything was purged.
    let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    if said["success"] == true {
        return Ok(());
    }
    Err(refused(format!(
        "Cloudflare answered {} and did not purge: {}; {ADVICE}",
        answer.status, said["errors"]
    )))
}
