//! Amazon `CloudFront`: invalidations. One takes minutes at the edges; the answer comes at once, with its id.
//!
//! Source: <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidation.html>

use std::collections::BTreeSet;

use jiff::Timestamp;
use reqwest::{Method, Url};
use stratus_core::cache::{ClearError, Cleared, Parts, Scope};
use stratus_core::environment::caches::CloudFront;

use super::http::{self, Answer, Http, refused};
use super::sigv4::{self, Request, Signer};

const ENDPOINT: &str = "https://cloudfront.amazonaws.com";
const VERSION: &str = "2020-05-31";
/// Where `CloudFront` signs, wherever its edges are.
const REGION: &str = "us-east-1";
const ADVICE: &str = "check caches.cloudfront: its distribution, its key and what that key may do";
/// Codes of answers that ask to come later.
const LATER: [&str; 4] = [
    "TooManyInvalidationsInProgress",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
];

/// Begins an invalidation. The same `reference` with the same paths begins it once.
pub(super) async fn invalidate(
    http: &Http,
    cloudfront: &CloudFront,
    scope: &Scope,
    reference: &str,
) -> Result<Cleared, ClearError> {
    let paths = match scope {
        Scope::All { .. } => ["/*".to_owned()].into(),
        Scope::Parts(parts) => paths(parts)?,
    };
    if paths.is_empty() {
        return Ok(Cleared::default());
    }
    let path = format!("{}/invalidation", distribution(cloudfront));
    let body = batch(&paths, reference);
    let answer = call(http, cloudfront, Method::POST, &path, body).await?;
    Ok(Cleared {
        receipt: element(&answer.body, "Id").map(str::to_owned),
    })
}

/// Whether the edges have heard of the invalidation `id`.
pub(super) async fn is_done(
    http: &Http,
    cloudfront: &CloudFront,
    id: &str,
) -> Result<bool, ClearError> {
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(refused(format!("{id:?} is no invalidation of CloudFront")));
    }
    let path = format!("{}/invalidation/{id}", distribution(cloudfront));
    let answer = call(http, cloudfront, Method::GET, &path, String::new()).await?;
    Ok(element(&answer.body, "Status") == Some("Completed"))
}

async fn call(
    http: &Http,
    cloudfront: &CloudFront,
    method: Method,
    path: &str,
    body: String,
) -> Result<Answer, ClearError> {
    let endpoint = cloudfront.endpoint.as_deref().unwrap_or(ENDPOINT);
    let url = Url::parse(endpoint)
        .and_then(|url| url.join(path))
        .map_err(|error| refused(format!("caches.cloudfront.endpoint: {error}")))?;
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let (date, digest) = (
        sigv4::date(Timestamp::now()),
        sigv4::digest(body.as_bytes()),
    );
    let signer = Signer {
        key_id: cloudfront.key_id.expose(),
        secret: cloudfront.secret.expose(),
        region: REGION,
        service: "cloudfront",
    };
    let headers = [
        ("content-type", "text/xml"),
        ("host", &host),
        ("x-amz-content-sha256", &digest),
        ("x-amz-date", &date),
    ];
    let unsigned = Request {
        method: method.as_str(),
        path,
        query: "",
        headers: &headers,
        body: body.as_bytes(),
    };
    let authorization = signer.authorization(&unsigned, &date);
    let mut request = http.client()?.request(method, url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.header("authorization", authorization).body(body);
    judge(http::send("CloudFront", request).await?)
}

/// Its refusals are XML with a code; some of them only ask to come later.
fn judge(answer: Answer) -> Result<Answer, ClearError> {
    let code = element(&answer.body, "Code").unwrap_or_default();
    if LATER.contains(&code) {
        let said = format!("CloudFront answered {} {code}", answer.status);
        return Err(answer.throttled(said));
    }
    answer.judge("CloudFront", ADVICE)
}

fn distribution(cloudfront: &CloudFront) -> String {
    format!("/{VERSION}/distribution/{}", cloudfront.distribution)
}

/// Paths as they are, and the paths of addresses.
fn paths(parts: &Parts) -> Result<BTreeSet<String>, ClearError> {
    let mut paths = parts.paths.clone();
    for address in &parts.urls {
        let url = Url::parse(address)
            .map_err(|error| refused(format!("{address:?} is no address: {error}")))?;
        let query = url.query().map(|query| format!("?{query}"));
        paths.insert(format!("{}{}", url.path(), query.unwrap_or_default()));
    }
    Ok(paths)
}

fn batch(paths: &BTreeSet<String>, reference: &str) -> String {
    let items = paths.iter().fold(String::new(), |items, path| {
        items + "<Path>" + &escape(path) + "</Path>"
    });
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <InvalidationBatch xmlns=\"http://cloudfront.amazonaws.com/doc/{VERSION}/\">\
         <CallerReference>{}</CallerReference>\
         <Paths><Items>{items}</Items><Quantity>{}</Quantity></Paths></InvalidationBatch>",
        escape(reference),
        paths.len()
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The text of the first element of that name. Ids, states and codes hold nothing that XML escapes.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>"))
        .map(|(text, _)| text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_names_each_path_once_and_how_many_there_are() {
        let paths = paths(&Parts {
            urls: [
                "https://shop.example/a?b=1&c=2".to_owned(),
                "https://shop.example/m".to_owned(),
            ]
            .into(),
            paths: ["/m".to_owned(), "/img/*".to_owned()].into(),
            ..Parts::default()
        });
        let text = batch(&paths.unwrap(), "ref");
        assert!(text.ends_with(
            "<CallerReference>ref</CallerReference><Paths><Items><Path>/a?b=1&amp;c=2</Path>\
             <Path>/img/*</Path><Path>/m</Path></Items><Quantity>3</Quantity></Paths></InvalidationBatch>"
        ), "{text}");
    }

    #[test]
    fn elements_are_found_and_half_ones_are_not() {
        let xml = "<Invalidation><Id>I2J</Id><Status>\n InProgress </Status><X>";
        assert_eq!(element(xml, "Id"), Some("I2J"));
        assert_eq!(element(xml, "Status"), Some("InProgress"));
        assert_eq!(element(xml, "X"), None);
    }
}
