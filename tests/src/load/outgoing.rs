//! Turns a mix into the bytes of its requests.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::mix::{Check, Mix, Request, RequestKind};

/// The length of the block an upload repeats; odd, so that a page or chunk that is lost shifts what follows.
const BLOCK: usize = 64 * 1024 - 1;

/// A request with everything that is equal each time it is sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) request: Request,
    /// Method, path and the headers before the nonce's value.
    head: String,
    /// What the answer to an upload must contain; empty where nothing is checked.
    digest: String,
}

/// What is put on the wire for one request: `head`, and then `upload` bytes of the block.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) head: String,
    pub(crate) upload: u64,
}

/// All requests of a run.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) prepared: Vec<Prepared>,
    pub(crate) block: Vec<u8>,
}

impl Catalogue {
    pub(crate) fn new(mix: &Mix, host: &str) -> Self {
        let block = block();
        let prepared = mix
            .requests()
            .iter()
            .map(|request| Prepared {
                request: request.clone(),
                head: head(request, host),
                digest: match request.check {
                    Check::Digest => digest(&block, request.upload),
                    Check::Nothing | Check::Echo => String::new(),
                },
            })
            .collect();
        Self { prepared, block }
    }
}

impl Prepared {
    /// Writes one request into `out`, whose memory is used again.
    pub(crate) fn write(&self, nonce: &str, last: bool, out: &mut Outgoing) {
        out.head.clear();
        out.head.push_str(&self.head);
        out.head.push_str(nonce);
        out.head.push_str(if last {
            "\r\nConnection: close\r\n"
        } else {
            "\r\n"
        });
        out.upload = self.request.upload;
        let written = match self.request.kind {
            RequestKind::Get | RequestKind::Slow => write!(out.head, "\r\n"),
            RequestKind::Upload => write!(
                out.head,
                "Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
                self.request.upload
            ),
            RequestKind::Post => {
                let fields = &self.request.fields;
                let and = if fields.is_empty() { "" } else { "&" };
                let length = "stratus_load=".len() + nonce.len() + and.len() + fields.len();
                write!(
                    out.head,
                    "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\
                     \r\n\r\nstratus_load={nonce}{and}{fields}"
                )
            }
        };
        written.expect("a string takes everything");
    }

    /// What the answer must contain, where something is checked.
    pub(crate) fn needle<'a>(&'a self, nonce: &'a str) -> Option<&'a str> {
        match self.request.check {
            Check::Nothing => None,
            Check::Echo => Some(nonce),
            Check::Digest => Some(&self.digest),
        }
    }
}

fn head(request: &Request, host: &str) -> String {
    let method = match request.kind {
        RequestKind::Get | RequestKind::Slow => "GET",
        RequestKind::Post | RequestKind::Upload => "POST",
    };
    format!(
        "{method} {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: stratus-load\r\nAccept: */*\r\n\
         X-Stratus-Load: ",
        request.path
    )
}

/// Bytes without a short period, equal in every run.
fn block() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..BLOCK)
        .map(|_| {
            // xorshift64; any sequence that no compressor shrinks would do
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect()
}

/// The pieces that an upload of `bytes` is written in.
pub(crate) fn pieces(block: &[u8], bytes: u64) -> impl Iterator<Item = &[u8]> {
    let length = block.len() as u64;
    (0..bytes.div_ceil(length)).map(move |piece| {
        let rest = (bytes - piece * length).min(length);
        &block[..usize::try_from(rest).expect("at most a block")]
    })
}

fn digest(block: &[u8], bytes: u64) -> String {
    let mut hash = Sha256::new();
    pieces(block, bytes).for_each(|piece| hash.update(piece));
    hash.finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes everything");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256() {
        assert_eq!(
            digest(b"abc", 3),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn an_upload_is_exactly_as_long_as_asked() {
        for bytes in [1, BLOCK as u64, BLOCK as u64 + 1, 5_000_000] {
            let sent: usize = pieces(&block(), bytes).map(<[u8]>::len).sum();
            assert_eq!(sent as u64, bytes);
        }
    }

    #[test]
    fn a_post_says_its_length_and_carries_its_nonce_twice() {
        let mix = Mix::new(vec![Request::post("/p").fields("a=b")]).expect("one path");
        let catalogue = Catalogue::new(&mix, "shop.test");
        let mut out = Outgoing::default();
        catalogue.prepared[0].write("n0nce", true, &mut out);
        insta::assert_snapshot!(out.head.replace('\r', "\\r"), @r"
        POST /p HTTP/1.1\r
        Host: shop.test\r
        User-Agent: stratus-load\r
        Accept: */*\r
        X-Stratus-Load: n0nce\r
        Connection: close\r
        Content-Type: application/x-www-form-urlencoded\r
        Content-Length: 22\r
        \r
        stratus_load=n0nce&a=b
        ");
    }
}
