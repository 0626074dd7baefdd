//! What Amazon verifies of a request to `CloudFront`: its signature, computed again from the key that the account has, and
//! its batch, read as XML.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{Asked, Does};

/// The account's key.
pub const KEY_ID: &str = "AKIDEXAMPLE";
/// And its secret.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// The only distribution.
pub const DISTRIBUTION: &str = "E2EXAMPLE";
const NAMESPACE: &str = "http://cloudfront.amazonaws.com/doc/2020-05-31/";

/// An invalidation as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Names the wish.
    pub reference: String,
    /// What is invalidated.
    pub paths: BTreeSet<String>,
}

/// Answers as `CloudFront` does.
pub fn cloudfront(asked: &Asked) -> Does {
    if let Err(why) = verify(asked) {
        return refusal(403, "SignatureDoesNotMatch", &why);
    }
    let base = format!("/2020-05-31/distribution/{DISTRIBUTION}/invalidation");
    let answer = |status, id: &str, state: &str| {
        let body = format!(
            "<?xml version=\"1.0\"?>\n<Invalidation xmlns=\"{NAMESPACE}\"><Id>{id}</Id><Status>{state}</Status></Invalidation>"
        );
        Does::say(status, &body)
    };
    match (asked.method.as_str(), asked.path.strip_prefix(&base)) {
        ("POST", Some("")) => match batch(&asked.body) {
            Ok(_) => answer(201, "I2J0I21PCUYOIK", "InProgress"),
            Err(why) => refusal(400, "MalformedXML", &why),
        },
        ("GET", Some("/I2J0I21PCUYOIK")) => answer(200, "I2J0I21PCUYOIK", "Completed"),
        ("GET", Some(_)) => refusal(404, "NoSuchInvalidation", "there is none"),
        _ => refusal(404, "NoSuchDistribution", "there is none"),
    }
}

/// The same of an account that remembers: a reference that was said with other paths is refused.
pub fn account(asked: &Asked, earlier: &[Asked]) -> Does {
    let Ok(new) = batch(&asked.body) else {
        return cloudfront(asked);
    };
    let earlier = earlier.iter().filter_map(|asked| batch(&asked.body).ok());
    let mut same = earlier.filter(|batch| batch.reference == new.reference);
    if same.any(|batch| batch.paths != new.paths) {
        let message = "Your request contains a caller reference that was used for a previous invalidation batch for the same distribution.";
        return refusal(400, "InvalidationBatchAlreadyExists", message);
    }
    cloudfront(asked)
}

/// A refusal as AWS words it.
pub fn refusal(status: u16, code: &str, message: &str) -> Does {
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    Does::say(status, &body)
}

/// Reads a batch.
///
/// # Errors
/// When it is no XML, or not of the shape that the API prescribes.
pub fn batch(body: &str) -> Result<Batch, String> {
    let document = roxmltree::Document::parse(body).map_err(|e| e.to_string())?;
    let root = document.root_element();
    let named = |node: roxmltree::Node<'_, '_>, name: &str| {
        node.tag_name().name() == name && node.tag_name().namespace() == Some(NAMESPACE)
    };
    if !named(root, "InvalidationBatch") {
        return Err(format!("the root is {:?}", root.tag_name()));
    }
    let child = |node: roxmltree::Node<'_, '_>, name: &str| {
        let mut found = node.children().filter(|c| named(*c, name)).map(|c| c.id());
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(format!("there is not one {name}")),
        }
    };
    let text = |id| {
        let node = document.get_node(id);
        node.and_then(|n| n.text()).unwrap_or_default().to_owned()
    };
    let reference = text(child(root, "CallerReference")?);
    let paths_id = child(root, "Paths")?;
    let list = document.get_node(paths_id).ok_or("no paths")?;
    let quantity: usize = text(child(list, "Quantity")?)
        .parse()
        .map_err(|_| "Quantity is no number".to_owned())?;
    let items = document.get_node(child(list, "Items")?).ok_or("no items")?;
    let paths: Vec<String> = items
        .children()
        .filter(|item| named(*item, "Path"))
        .map(|item| item.text().unwrap_or_default().to_owned())
        .collect();
    if reference.is_empty() || paths.is_empty() || quantity != paths.len() {
        return Err(format!(
            "{quantity} of {} paths for {reference:?}",
            paths.len()
        ));
    }
    Ok(Batch {
        reference,
        paths: paths.into_iter().collect(),
    })
}

/// Computes the signature again, step by step as the documentation has it, and compares.
fn verify(asked: &Asked) -> Result<(), String> {
    let authorization = asked.header("authorization");
    let rest = authorization
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or("no such algorithm")?;
    let field = |name: &str| {
        let mut fields = rest.split(", ").filter_map(|field| field.split_once('='));
        let found = fields.find(|(n, _)| *n == name).map(|(_, value)| value);
        found.ok_or(format!("no {name}"))
    };
    let credential: Vec<&str> = field("Credential")?.split('/').collect();
    let [key_id, day, "us-east-1", "cloudfront", "aws4_request"] = credential[..] else {
        return Err(format!("scope {credential:?}"));
    };
    let date = asked.header("x-amz-date");
    if key_id != KEY_ID || !date.starts_with(day) || date.len() != 16 {
        return Err(format!("key {key_id}, date {date}"));
    }
    let names = field("SignedHeaders")?;
    for needed in ["host", "x-amz-date"] {
        if !names.split(';').any(|name| name == needed) {
            return Err(format!("{needed} is not signed"));
        }
    }
    if asked.header("x-amz-content-sha256") != hex(&sha256(asked.body.as_bytes())) {
        return Err("the body is another one".to_owned());
    }
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let mut canonical = format!("{}\n{path}\n{query}\n", asked.method);
    for name in names.split(';') {
        let _ = writeln!(canonical, "{name}:{}", asked.header(name).trim());
    }
    let _ = write!(
        canonical,
        "\n{names}\n{}",
        hex(&sha256(asked.body.as_bytes()))
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{day}/us-east-1/cloudfront/aws4_request\n{}",
        hex(&sha256(canonical.as_bytes()))
    );
    let key = [day, "us-east-1", "cloudfront", "aws4_request"]
        .iter()
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| {
            hmac(&key, part.as_bytes())
        });
    let expected = hex(&hmac(&key, text.as_bytes()));
    if field("Signature")? == expected {
        Ok(())
    } else {
        Err("the signature is another one".to_owned())
    }
}

/// HMAC by its definition (RFC 2104), so that it shares nothing with the code under test.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = if key.len() > 64 {
        sha256(key)
    } else {
        key.to_vec()
    };
    block.resize(64, 0);
    let padded = |with: u8| block.iter().map(move |byte| byte ^ with);
    let inner: Vec<u8> = padded(0x36).chain(text.iter().copied()).collect();
    let outer: Vec<u8> = padded(0x5c).chain(sha256(&inner)).collect();
    sha256(&outer)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
