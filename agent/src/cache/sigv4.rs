//! AWS Signature Version 4: the `Authorization` header of a request. Our own few lines: the maintained signer is 52 crates.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs, and for what.
pub(super) struct Signer<'a> {
    pub key_id: &'a str,
    pub secret: &'a str,
    /// Shape: `us-east-1`.
    pub region: &'a str,
    /// Shape: `cloudfront`.
    pub service: &'a str,
}

/// What is signed. Path and query are as they are sent.
pub(super) struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// Without the question mark.
    pub query: &'a str,
    /// All that are to be signed, `host` and `x-amz-date` among them; names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// The time as `x-amz-date` has it. Shape: `20150830T123600Z`.
pub(super) fn date(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The digest of a body as `x-amz-content-sha256` has it.
pub(super) fn digest(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

impl Signer<'_> {
    /// The value of `Authorization` for a request of `date`, as [`date`] prints it.
    pub(super) fn authorization(&self, request: &Request<'_>, date: &str) -> String {
        let day = date.get(..8).unwrap_or(date);
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let (canonical, signed) = canonical(request);
        let text = format!(
            "{ALGORITHM}\n{date}\n{scope}\n{}",
            digest(canonical.as_bytes())
        );
        let mut key = mac(format!("AWS4{}", self.secret).as_bytes(), day);
        for part in [self.region, self.service, "aws4_request"] {
            key = mac(&key, part);
        }
        let signature = hex(&mac(&key, &text));
        let key_id = self.key_id;
        format!(
            "{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )
    }
}

/// The canonical request, and the names of its headers.
fn canonical(request: &Request<'_>) -> (String, String) {
    let mut headers: Vec<_> = request.headers.to_vec();
    headers.sort_unstable();
    let mut lines = String::new();
    for (name, value) in &headers {
        let words: Vec<&str> = value.split_whitespace().collect();
        lines.extend([name, ":", &words.join(" "), "\n"]);
    }
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let signed = names.join(";");
    let mut query: Vec<&str> = request.query.split('&').collect();
    query.sort_unstable();
    let text = format!(
        "{}\n{}\n{}\n{lines}\n{signed}\n{}",
        request.method,
        request.path,
        query.join("&"),
        digest(request.body)
    );
    (text, signed)
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of HMAC may have any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS's published vectors all have this key, day and service. Source: the signing test suite of `aws-c-auth`.
    const SIGNER: Signer<'static> = Signer {
        key_id: "AKIDEXAMPLE",
        secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        region: "us-east-1",
        service: "service",
    };
    const DATE: &str = "20150830T123600Z";
    const HOST: (&str, &str) = ("host", "example.amazonaws.com");
    const AT: (&str, &str) = ("x-amz-date", DATE);

    fn request<'a>(
        method: &'a str,
        path: &'a str,
        query: &'a str,
        headers: &'a [(&'a str, &'a str)],
        body: &'a [u8],
    ) -> Request<'a> {
        Request {
            method,
            path,
            query,
            headers,
            body,
        }
    }

    #[track_caller]
    fn check(name: &str, request: &Request<'_>, signed: &str, signature: &str) {
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={signed}, Signature={signature}"
        );
        assert_eq!(SIGNER.authorization(request, DATE), expected, "{name}");
    }

    #[test]
    fn the_published_vectors_without_a_body() {
        let plain = &[HOST, AT];
        let signed = "host;x-amz-date";
        for (name, method, path, query, signature) in [
            (
                "get-vanilla",
                "GET",
                "/",
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "post-vanilla",
                "POST",
                "/",
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "get-vanilla-query-order-key-case",
                "GET",
                "/",
                "Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-unreserved",
                "GET",
                "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                "",
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
        ] {
            check(
                name,
                &request(method, path, query, plain, b""),
                signed,
                signature,
            );
        }
    }

    #[test]
    fn the_published_vector_with_white_space_in_headers() {
        let headers = [
            ("my-header1", " value1"),
            AT,
            ("my-header2", " \"a   b   c\""),
            HOST,
        ];
        check(
            "get-header-value-trim",
            &request("GET", "/", "", &headers, b""),
            "host;my-header1;my-header2;x-amz-date",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        );
    }

    #[test]
    fn the_published_vector_with_a_body_and_its_digest() {
        let body = b"Param1=value1";
        let sha256 = digest(body);
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            HOST,
            ("content-length", "13"),
            ("x-amz-content-sha256", &sha256),
            AT,
        ];
        check(
            "post-x-www-form-urlencoded",
            &request("POST", "/", "", &headers, body),
            "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
            "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
        );
    }

    #[test]
    fn a_time_is_printed_as_aws_reads_it() {
        let at = "2015-08-30T12:36:00Z".parse().unwrap();
        assert_eq!(date(at), DATE);
    }
}
