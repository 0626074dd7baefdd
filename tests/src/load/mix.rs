//! What is asked for, and in which proportion.

use std::ops::RangeInclusive;

use bytesize::ByteSize;
use serde::Serialize;

/// The most one upload may weigh: 4 GiB.
const MAX_UPLOAD: u64 = 4 << 30;
/// The largest sum of weights; the order of requests is written out once.
const MAX_WEIGHT: u32 = 10_000;
const ANY_SUCCESS: RangeInclusive<u16> = 200..=399;

/// Why a mix cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// Nothing to ask for.
    #[error("nothing to ask for: give at least one --get, --post, --slow or --upload")]
    Empty,
    /// A path that cannot stand in a request line.
    #[error("`{0}` is not a path: it begins with `/` and has visible ASCII characters only")]
    Path(String),
    /// Form fields that cannot be sent as they are.
    #[error("`{0}` are not form fields: write them encoded, such as `do=search&q=a%20b`")]
    Fields(String),
    /// An upload without a usable size.
    #[error("`{0}` is not an upload: write /upload.php=5MB, with 4 GiB at most")]
    Upload(String),
    /// A weight of zero, or no number.
    #[error("`{0}` is not a weight: write 3:/path, where all weights add up to 10000 at most")]
    Weight(String),
    /// A range of statuses that cannot be read.
    #[error("`{0}` is not an expected status: write /path=404 or /path=200-299")]
    Expect(String),
    /// A status was expected of a path that is never asked for.
    #[error("`{0}` is expected something of, but no request asks for it")]
    ExpectNobody(String),
}

/// The sort of a request; it decides method and body, and which line of the report counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// GET.
    Get,
    /// POST of a small form that carries the request's nonce.
    Post,
    /// GET of something that keeps a CPU busy; counted apart, since its latency is its own.
    Slow,
    /// POST of a large body.
    Upload,
}

impl RequestKind {
    /// Every kind, in the order of the report.
    pub const ALL: [Self; 4] = [Self::Get, Self::Post, Self::Slow, Self::Upload];

    /// The kind's name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Slow => "slow",
            Self::Upload => "upload",
        }
    }
}

/// What an answer must contain, in its head or its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Nothing in particular.
    Nothing,
    /// The request's nonce, sent as header `X-Stratus-Load` and, by a POST, as field `stratus_load`.
    Echo,
    /// The SHA-256 of the uploaded body, in lower-case hexadecimal.
    Digest,
}

/// One sort of request, sent again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub(crate) kind: RequestKind,
    pub(crate) path: String,
    pub(crate) fields: String,
    pub(crate) upload: u64,
    pub(crate) weight: u32,
    pub(crate) status: RangeInclusive<u16>,
    pub(crate) check: Check,
}

impl Request {
    fn new(kind: RequestKind, path: impl Into<String>) -> Self {
        Self {
            kind,
            path: path.into(),
            fields: String::new(),
            upload: 0,
            weight: 1,
            status: ANY_SUCCESS,
            check: Check::Nothing,
        }
    }

    /// A GET of a path with its query.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(RequestKind::Get, path)
    }

    /// A POST of a form.
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(RequestKind::Post, path)
    }

    /// A GET that is known to take long.
    pub fn slow(path: impl Into<String>) -> Self {
        Self::new(RequestKind::Slow, path)
    }

    /// A POST of so many bytes.
    pub fn upload(path: impl Into<String>, bytes: u64) -> Self {
        Self {
            upload: bytes,
            ..Self::new(RequestKind::Upload, path)
        }
    }

    /// Sends these encoded form fields after the nonce's (POST only).
    #[must_use]
    pub fn fields(self, fields: impl Into<String>) -> Self {
        Self {
            fields: fields.into(),
            ..self
        }
    }

    /// Sends the request this often, in proportion to the others. One, unless said.
    #[must_use]
    pub fn weight(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// Accepts these statuses instead of 200 to 399.
    #[must_use]
    pub fn expect(self, status: RangeInclusive<u16>) -> Self {
        Self { status, ..self }
    }

    /// Looks for something in each answer.
    #[must_use]
    pub fn check(self, check: Check) -> Self {
        Self { check, ..self }
    }

    /// Reads one value of `--get`, `--post`, `--slow` or `--upload`:
    /// `[WEIGHT:]/path`, for a POST with ` FIELDS` behind a space, for an upload with `=SIZE` behind it.
    pub fn parse(kind: RequestKind, text: &str) -> Result<Self, MixError> {
        let (weight, rest) = match text.split_once(":/") {
            Some((weight, _)) if !weight.contains('/') => {
                let count = weight
                    .parse()
                    .map_err(|_| MixError::Weight(text.to_owned()))?;
                (count, &text[weight.len() + 1..])
            }
            _ => (1, text),
        };
        let request = match (kind, rest.split_once(' ')) {
            (RequestKind::Upload, _) => {
                let wrong = || MixError::Upload(text.to_owned());
                let (path, size) = rest.rsplit_once('=').ok_or_else(wrong)?;
                Self::upload(
                    path,
                    size.parse::<ByteSize>().map_err(|_| wrong())?.as_u64(),
                )
            }
            (RequestKind::Post, Some((path, fields))) => Self::post(path).fields(fields),
            _ => Self::new(kind, rest),
        };
        request.weight(weight).validate()
    }

    fn validate(self) -> Result<Self, MixError> {
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !self.path.starts_with('/') || !visible(&self.path) {
            return Err(MixError::Path(self.path));
        }
        if !visible(&self.fields) {
            return Err(MixError::Fields(self.fields));
        }
        if self.kind == RequestKind::Upload && !(1..=MAX_UPLOAD).contains(&self.upload) {
            return Err(MixError::Upload(format!("{}={}", self.path, self.upload)));
        }
        if !(1..=MAX_WEIGHT).contains(&self.weight) {
            return Err(MixError::Weight(format!("{}:{}", self.weight, self.path)));
        }
        Ok(self)
    }
}

/// Requests with their weights, in a fixed order that mixes them evenly.
#[derive(Debug, Clone)]
pub struct Mix {
    requests: Vec<Request>,
    order: Vec<usize>,
}

impl Mix {
    /// Mixes the requests by weight.
    pub fn new(requests: Vec<Request>) -> Result<Self, MixError> {
        if requests.is_empty() {
            return Err(MixError::Empty);
        }
        let requests = requests
            .into_iter()
            .map(Request::validate)
            .collect::<Result<Vec<_>, _>>()?;
        let total: u64 = requests
            .iter()
            .map(|request| u64::from(request.weight))
            .sum();
        if total > u64::from(MAX_WEIGHT) {
            return Err(MixError::Weight(total.to_string()));
        }
        let order = interleave(&requests);
        Ok(Self { requests, order })
    }

    pub(crate) fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The index of the request that comes `turn`th; the order begins again at its end.
    pub(crate) fn turn(&self, turn: usize) -> usize {
        self.order[turn % self.order.len()]
    }

    /// Applies one value of `--expect`, `/path=404` or `/path=200-299`.
    pub(crate) fn expect(requests: &mut [Request], text: &str) -> Result<(), MixError> {
        let wrong = || MixError::Expect(text.to_owned());
        let (path, range) = text.rsplit_once('=').ok_or_else(wrong)?;
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: u16 = first.parse().map_err(|_| wrong())?;
        let last: u16 = last.parse().map_err(|_| wrong())?;
        if first > last {
            return Err(wrong());
        }
        let mut asked = requests
            .iter_mut()
            .filter(|request| request.path == path)
            .peekable();
        if asked.peek().is_none() {
            return Err(MixError::ExpectNobody(path.to_owned()));
        }
        asked.for_each(|request| request.status = first..=last);
        Ok(())
    }
}

/// Smooth weighted round robin: in each turn the request with the most credit goes and pays the total.
fn interleave(requests: &[Request]) -> Vec<usize> {
    let total: i64 = requests
        .iter()
        .map(|request| i64::from(request.weight))
        .sum();
    let mut credit = vec![0_i64; requests.len()];
    (0..total)
        .map(|_| {
            for (credit, request) in credit.iter_mut().zip(requests) {
                *credit += i64::from(request.weight);
            }
            let next = (0..credit.len())
                .max_by_key(|&index| (credit[index], std::cmp::Reverse(index)))
                .expect("a mix has a request");
            credit[next] -= total;
            next
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_kept_and_spread_evenly() {
        let mix = Mix::new(vec![
            Request::get("/a").weight(5),
            Request::get("/b").weight(2),
        ]);
        assert_eq!(mix.expect("accepted").order, [0, 1, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn a_request_is_read_from_one_word() {
        let parse = |kind, text| Request::parse(kind, text).expect("accepted");
        assert_eq!(
            parse(RequestKind::Get, "8:/doku.php?id=start"),
            Request::get("/doku.php?id=start").weight(8)
        );
        assert_eq!(
            parse(RequestKind::Get, "/a?u=http://b"),
            Request::get("/a?u=http://b")
        );
        assert_eq!(
            parse(RequestKind::Post, "/post.php do=search&q=a%20b"),
            Request::post("/post.php").fields("do=search&q=a%20b")
        );
        assert_eq!(
            parse(RequestKind::Upload, "/up.php?x=1=5MB"),
            Request::upload("/up.php?x=1", 5_000_000)
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let refused = |kind, text| Request::parse(kind, text).expect_err("refused");
        assert!(matches!(
            refused(RequestKind::Get, "doku.php"),
            MixError::Path(_)
        ));
        assert!(matches!(
            refused(RequestKind::Get, "/a b"),
            MixError::Path(_)
        ));
        assert!(matches!(
            refused(RequestKind::Get, "/a\r\nX: y"),
            MixError::Path(_)
        ));
        assert!(matches!(
            refused(RequestKind::Get, "0:/a"),
            MixError::Weight(_)
        ));
        assert!(matches!(
            refused(RequestKind::Get, "x:/a"),
            MixError::Weight(_)
        ));
        assert!(matches!(
            refused(RequestKind::Post, "/a b\r\n"),
            MixError::Fields(_)
        ));
        assert!(matches!(
            refused(RequestKind::Upload, "/up.php"),
            MixError::Upload(_)
        ));
        assert!(matches!(
            refused(RequestKind::Upload, "/up.php=5TB"),
            MixError::Upload(_)
        ));
        assert_eq!(Mix::new(Vec::new()).expect_err("refused"), MixError::Empty);
    }

    #[test]
    fn a_status_expected_of_nobody_is_refused() {
        let mut requests = vec![Request::get("/a?b=1"), Request::get("/c")];
        Mix::expect(&mut requests, "/a?b=1=404").expect("accepted");
        assert_eq!(requests[0].status, 404..=404);
        assert_eq!(requests[1].status, ANY_SUCCESS);
        let error = Mix::expect(&mut requests, "/d=404").expect_err("refused");
        assert_eq!(error, MixError::ExpectNobody("/d".to_owned()));
        let error = Mix::expect(&mut requests, "/c=299-200").expect_err("refused");
        assert!(matches!(error, MixError::Expect(_)));
    }
}
