//! Requests to caches that speak HTTP, and what their answers mean. No redirect is followed and no proxy is asked.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, redirect};
use stratus_core::cache::ClearError;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long an answer may take: less than the worker waits, so that its reason is known.
const ANSWER_LIMIT: Duration = Duration::from_secs(9);
/// Most of an answer that is read, in bytes.
const BODY_MAX: usize = 64 * 1024;
/// Most of an answer that is shown, in characters.
const SHOWN_MAX: usize = 200;

/// Sends requests to providers.
pub(super) struct Http {
    client: Result<Client, String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub status: u16,
    pub body: String,
    pub retry_after: Option<Duration>,
}

impl Http {
    pub(super) fn new() -> Self {
        Self {
            client: builder().build().map_err(|e| explain(&e)),
        }
    }

    /// The client.
    pub(super) fn client(&self) -> Result<&Client, ClearError> {
        self.client
            .as_ref()
            .map_err(|error| refused(format!("no request can be made: {error}")))
    }
}

/// A client that finds `host` at `addresses` and nowhere else.
pub(super) fn client_at(host: &str, addresses: &[SocketAddr]) -> Result<Client, ClearError> {
    let client = builder().resolve_to_addrs(host, addresses).build();
    client.map_err(|e| refused(format!("no request can be made: {}", explain(&e))))
}

fn builder() -> ClientBuilder {
    // An error means that there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .timeout(ANSWER_LIMIT)
        .user_agent("stratus")
}

/// Sends a request and reads the answer.
///
/// # Errors
/// [`ClearError::Unavailable`] when there is none.
pub(super) async fn send(who: &str, request: RequestBuilder) -> Result<Answer, ClearError> {
    let failed = |error: reqwest::Error| ClearError::Unavailable {
        detail: format!("{who} does not answer: {}", explain(&error)),
    };
    let mut response = request.send().await.map_err(failed)?;
    let retry_after = retry_after(&response, Timestamp::now());
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        let room = BODY_MAX - body.len();
        body.extend_from_slice(&piece[..piece.len().min(room)]);
        if body.len() == BODY_MAX {
            break;
        }
    }
    Ok(Answer {
        status: response.status().as_u16(),
        body: String::from_utf8_lossy(&body).into_owned(),
        retry_after,
    })
}

impl Answer {
    /// The answer, if it says that it is done; `advice` is what to do about a refusal.
    pub(super) fn judge(self, who: &str, advice: &str) -> Result<Self, ClearError> {
        let said = format!("{who} answered {}{}", self.status, self.shown());
        match self.status {
            200..=299 => Ok(self),
            429 => Err(self.throttled(said)),
            503 if self.retry_after.is_some() => Err(self.throttled(said)),
            408 | 425 | 500..=599 => Err(ClearError::Unavailable { detail: said }),
            _ => Err(refused(format!("{said}; {advice}"))),
        }
    }

    /// That it wants to be asked later.
    pub(super) fn throttled(&self, detail: String) -> ClearError {
        ClearError::Throttled {
            detail,
            after: self.retry_after,
        }
    }

    fn shown(&self) -> String {
        let printable = self
            .body
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c });
        let text: String = printable.take(SHOWN_MAX).collect();
        let words: Vec<&str> = text.split_whitespace().collect();
        if words.is_empty() {
            String::new()
        } else {
            format!(": {}", words.join(" "))
        }
    }
}

/// A refusal.
pub(super) fn refused(detail: String) -> ClearError {
    ClearError::Refused { detail }
}

/// Seconds or a date. Source: RFC 9110, 10.2.3.
fn retry_after(response: &Response, now: Timestamp) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// An error with its causes, without the address, which may hold a password.
fn explain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    match (text.is_empty(), error.is_timeout()) {
        (true, true) => "it took too long".to_owned(),
        (true, false) => "the request failed".to_owned(),
        (false, _) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<u64>) -> Answer {
        Answer {
            status,
            body: "so\n\u{1b}[31mso".to_owned(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn an_answer_is_done_or_later_or_broken_or_a_refusal() {
        let judged = |a: Answer| a.judge("the cache", "mend it");
        assert!(judged(answer(204, None)).is_ok());
        for (status, retry_after, expected) in [
            (429, Some(7), "throttled"),
            (429, None, "throttled"),
            (503, Some(7), "throttled"),
            (503, None, "unavailable"),
            (500, None, "unavailable"),
            (401, None, "refused"),
            (302, None, "refused"),
        ] {
            let error = judged(answer(status, retry_after)).unwrap_err();
            let found = match error {
                ClearError::Throttled { after, .. } => {
                    assert_eq!(after, retry_after.map(Duration::from_secs));
                    "throttled"
                }
                ClearError::Unavailable { .. } => "unavailable",
                ClearError::Refused { .. } => "refused",
            };
            assert_eq!(found, expected, "{status}");
        }
        let text = judged(answer(403, None)).unwrap_err().to_string();
        assert_eq!(text, "the cache answered 403: so [31mso; mend it");
    }
}
