//! Varnish: `PURGE` requests, as Magento and its kin send them. All of the cache and tags are a pattern in a header, an
//! address is the request's own.
//!
//! A page that the old code rendered can still be on its way from nginx when everything is purged. So after a change of
//! generation the first request names the one that serves: our VCL then forgets the pages of others and keeps none that
//! come late. The second one, a moment later, forgets the rest: what the new code made of inner caches that were still
//! old, and, where a VCL knows no generations, what came late. Every request names its environment, for a VCL that keeps
//! several apart.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::HOST;
use reqwest::{Client, Method, RequestBuilder, Url};
use stratus_core::cache::{ClearError, Parts, Scope};
use stratus_core::environment::caches::Varnish;
use stratus_core::pool::GENERATION_HEADER;
use stratus_core::{EnvironmentName, Generation};
use tokio::time::sleep;

use super::http::{self, refused};
use super::names::{self, Names};

/// Matches every list of tags, the empty one too.
const EVERYTHING: &str = ".*";
/// How long a page may be under way between a member that is drained and Varnish.
const UNDER_WAY: Duration = Duration::from_millis(300);
/// Names the environment, in requests and, behind nginx, in pages.
const ENVIRONMENT_HEADER: &str = "X-Stratus-Environment";
/// Tags in one request: their pattern must fit into a header.
const TAGS_AT_ONCE: usize = 50;
const ADVICE: &str = "let its VCL take PURGE from this host";

/// Purges `scope` on every Varnish that the name stands for.
pub(super) async fn purge(
    names: &dyn Names,
    environment: &EnvironmentName,
    varnish: &Varnish,
    scope: &Scope,
) -> Result<(), ClearError> {
    let url = Url::parse(varnish.url.expose())
        .map_err(|error| refused(format!("its URL cannot be understood: {error}")))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    for addresses in names::servers(names, &host, port).await? {
        let door = Door::open(environment, varnish, &url, &addresses)?;
        match scope {
            Scope::All { generation } => door.everything(*generation).await?,
            Scope::Parts(parts) => door.parts(parts).await?,
        }
    }
    Ok(())
}

/// One Varnish.
struct Door<'a> {
    client: Client,
    environment: &'a EnvironmentName,
    url: &'a Url,
    tags_header: &'a str,
}

impl<'a> Door<'a> {
    fn open(
        environment: &'a EnvironmentName,
        varnish: &'a Varnish,
        url: &'a Url,
        addresses: &[SocketAddr],
    ) -> Result<Self, ClearError> {
        let host = url.host_str().unwrap_or_default();
        Ok(Self {
            client: http::client_at(host, addresses)?,
            environment,
            url,
            tags_header: &varnish.tags_header,
        })
    }

    async fn everything(&self, generation: Option<Generation>) -> Result<(), ClearError> {
        if let Some(generation) = generation {
            let request = self
                .request(self.url.clone())
                .header(self.tags_header, EVERYTHING)
                .header(GENERATION_HEADER, generation.0);
            send(request).await?;
            sleep(UNDER_WAY).await;
        }
        self.tags(EVERYTHING).await
    }

    async fn parts(&self, parts: &Parts) -> Result<(), ClearError> {
        for url in &parts.urls {
            self.address(url).await?;
        }
        let tags: Vec<&str> = parts.tags.iter().map(String::as_str).collect();
        for tags in tags.chunks(TAGS_AT_ONCE) {
            self.tags(&pattern(tags)).await?;
        }
        Ok(())
    }

    async fn tags(&self, pattern: &str) -> Result<(), ClearError> {
        let request = self.request(self.url.clone());
        send(request.header(self.tags_header, pattern)).await
    }

    /// An address is purged under the host that visitors ask for.
    async fn address(&self, address: &str) -> Result<(), ClearError> {
        let address = Url::parse(address)
            .map_err(|error| refused(format!("{address:?} is no address: {error}")))?;
        let mut place = self.url.clone();
        place.set_path(address.path());
        place.set_query(address.query());
        let host = match address.port() {
            Some(port) => format!("{}:{port}", address.host_str().unwrap_or_default()),
            None => address.host_str().unwrap_or_default().to_owned(),
        };
        send(self.request(place).header(HOST, host)).await
    }

    fn request(&self, url: Url) -> RequestBuilder {
        let purge = Method::from_bytes(b"PURGE").expect("it is a token, as methods are");
        self.client
            .request(purge, url)
            .header(ENVIRONMENT_HEADER, self.environment.as_str())
    }
}

/// What was not in the cache is purged as well.
async fn send(request: RequestBuilder) -> Result<(), ClearError> {
    let answer = http::send("Varnish", request).await?;
    if answer.status == 404 {
        return Ok(());
    }
    answer.judge("Varnish", ADVICE).map(drop)
}

/// Matches a comma-separated list that has one of `tags`.
fn pattern(tags: &[&str]) -> String {
    let one = |tag: &&str| format!("((^|,){}(,|$))", escape(tag));
    tags.iter().map(one).collect::<Vec<_>>().join("|")
}

/// A tag as a pattern that matches nothing else.
fn escape(tag: &str) -> String {
    let mut escaped = String::new();
    for c in tag.chars() {
        if !c.is_ascii_alphanumeric() && c != '_' && c != '-' {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_matched_whole_and_literally() {
        assert_eq!(
            pattern(&["cat_p_1", "a.b*"]),
            r"((^|,)cat_p_1(,|$))|((^|,)a\.b\*(,|$))"
        );
    }
}
