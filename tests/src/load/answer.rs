//! Reads one HTTP/1.1 answer to its last byte, or says exactly what was wrong with it.
//!
//! *Source*: RFC 9112, sections 6 and 7.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::failure::{Class, Failure};

/// The longest head, or line of a chunked body.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;
/// The longest body.
const MAX_BODY: u64 = 64 << 20;
const BUFFER: usize = 32 * 1024;

/// An answer that arrived whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `X-Stratus-Generation`, where PHP answered.
    pub(crate) generation: Option<u32>,
    /// Whether the connection may carry another request.
    pub(crate) reusable: bool,
    /// Head and decoded body, where asked for.
    pub(crate) text: Vec<u8>,
}

/// Whether to keep what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Nothing,
    Text,
}

/// What arrived on a connection and is not used yet.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    buffer: Vec<u8>,
    used: usize,
    received: u64,
}

struct Head {
    status: u16,
    generation: Option<u32>,
    reusable: bool,
    framing: Framing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Incoming {
    /// Bytes that arrived since the last [`Incoming::begin`].
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that arrived and belong to nothing.
    pub(crate) fn surplus(&self) -> usize {
        self.buffer.len() - self.used
    }

    /// Begins a new exchange.
    pub(crate) fn begin(&mut self) {
        self.received = 0;
    }

    /// Reads more; zero is the end of the connection.
    async fn fill(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        if self.used == self.buffer.len() {
            self.buffer.clear();
        } else if self.used > 0 {
            self.buffer.drain(..self.used);
        }
        self.used = 0;
        self.buffer.reserve(BUFFER);
        let read = stream.read_buf(&mut self.buffer).await?;
        self.received += read as u64;
        Ok(read)
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.used..]
    }
}

/// Reads the final answer to a request that was written; interim ones (1xx) are skipped.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    incoming: &mut Incoming,
    keep: Keep,
) -> Result<Answer, Failure> {
    let mut reader = Reader {
        stream,
        incoming,
        keep,
        text: Vec::new(),
        body: 0,
    };
    let head = loop {
        reader.text.clear();
        let head = reader.head().await?;
        if head.status == 101 || head.status >= 200 {
            break head;
        }
    };
    match head.framing {
        Framing::Length(length) => reader.counted(length, length).await?,
        Framing::Chunked => reader.chunked().await?,
        Framing::UntilClose => reader.until_close().await?,
    }
    Ok(Answer {
        status: head.status,
        generation: head.generation,
        reusable: head.reusable && head.framing != Framing::UntilClose,
        text: reader.text,
    })
}

struct Reader<'a, R> {
    stream: &'a mut R,
    incoming: &'a mut Incoming,
    keep: Keep,
    text: Vec<u8>,
    /// Bytes of the body so far, decoded.
    body: u64,
}

impl<R: AsyncRead + Unpin> Reader<'_, R> {
    async fn head(&mut self) -> Result<Head, Failure> {
        loop {
            let unread = self.incoming.unread();
            if let Some((length, head)) = parse_head(unread)? {
                self.take(length);
                return Ok(head);
            }
            let have = unread.len();
            if have > MAX_HEAD {
                return Err(malformed(format!("a head of more than {MAX_HEAD} bytes")));
            }
            match self.incoming.fill(self.stream).await {
                Ok(0) if have == 0 => {
                    return Err(Failure::new(
                        Class::EndBeforeResponse,
                        "the connection ended without a byte of answer",
                    ));
                }
                Ok(0) => {
                    return Err(Failure::new(
                        Class::EndBeforeResponse,
                        format!("the connection ended after {have} bytes of the head"),
                    ));
                }
                Ok(_) => {}
                Err(error) => return Err(Failure::from_io(&error, "reading the head")),
            }
        }
    }

    /// Reads `length` bytes of the body, which are the rest of `announced`.
    async fn counted(&mut self, mut length: u64, announced: u64) -> Result<(), Failure> {
        if self.body.saturating_add(length) > MAX_BODY {
            return Err(malformed(format!("a body of more than {MAX_BODY} bytes")));
        }
        while length > 0 {
            if self.incoming.unread().is_empty() && self.fill_body().await? == 0 {
                let missing = format!("{length} of {announced} announced bytes missing");
                return Err(Failure::new(Class::ShortBody, missing));
            }
            let have = self.incoming.unread().len();
            let part = usize::try_from(length).map_or(have, |length| length.min(have));
            self.take(part);
            self.body += part as u64;
            length -= part as u64;
        }
        Ok(())
    }

    async fn chunked(&mut self) -> Result<(), Failure> {
        loop {
            let (line, size) = loop {
                match httparse::parse_chunk_size(self.incoming.unread()) {
                    Ok(httparse::Status::Complete(found)) => break found,
                    Ok(httparse::Status::Partial) => self.more_of_line().await?,
                    Err(_) => return Err(malformed("a chunk without a readable size")),
                }
            };
            self.skip(line);
            if size == 0 {
                while self.line().await? > 0 {} // trailers
                return Ok(());
            }
            self.counted(size, size).await?;
            if self.line().await? > 0 {
                return Err(malformed("a chunk longer than its size"));
            }
        }
    }

    /// Skips a line, and says how long it was without its end.
    async fn line(&mut self) -> Result<usize, Failure> {
        loop {
            let unread = self.incoming.unread();
            if let Some(end) = unread.iter().position(|&byte| byte == b'\n') {
                let length = unread[..end]
                    .strip_suffix(b"\r")
                    .unwrap_or(&unread[..end])
                    .len();
                self.skip(end + 1);
                return Ok(length);
            }
            self.more_of_line().await?;
        }
    }

    async fn more_of_line(&mut self) -> Result<(), Failure> {
        if self.incoming.unread().len() > MAX_HEAD {
            return Err(malformed("a chunk line without an end"));
        }
        if self.fill_body().await? == 0 {
            let detail = format!("ended after {} bytes, before the last chunk", self.body);
            return Err(Failure::new(Class::ShortBody, detail));
        }
        Ok(())
    }

    async fn until_close(&mut self) -> Result<(), Failure> {
        loop {
            let have = self.incoming.unread().len();
            self.take(have);
            self.body += have as u64;
            if self.body > MAX_BODY {
                return Err(malformed(format!("a body of more than {MAX_BODY} bytes")));
            }
            if self.fill_body().await? == 0 {
                return Ok(());
            }
        }
    }

    async fn fill_body(&mut self) -> Result<usize, Failure> {
        self.incoming.fill(self.stream).await.map_err(|error| {
            Failure::from_io(&error, format!("after {} bytes of the body", self.body))
        })
    }

    /// Uses bytes up, keeping them where the text is asked for.
    fn take(&mut self, length: usize) {
        if self.keep == Keep::Text {
            self.text
                .extend_from_slice(&self.incoming.unread()[..length]);
        }
        self.skip(length);
    }

    fn skip(&mut self, length: usize) {
        self.incoming.used += length;
    }
}

fn malformed(detail: impl Into<String>) -> Failure {
    Failure::new(Class::Malformed, detail)
}

/// The head and its length, or nothing where more must be read.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Head)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(malformed(format!("not an HTTP answer: {error}"))),
    };
    let status = response.code.expect("a complete head has a status");
    let mut reusable = response.version == Some(1);
    let (mut generation, mut announced, mut chunked) = (None, None, false);
    for header in response.headers.iter() {
        let is = |name| header.name.eq_ignore_ascii_case(name);
        if is("x-stratus-generation") {
            agree(&mut generation, header)?;
        } else if is("content-length") {
            agree(&mut announced, header)?;
        } else if is("transfer-encoding") {
            chunked = true;
        } else if is("connection") {
            let value = header.value.trim_ascii();
            reusable = !value.eq_ignore_ascii_case(b"close")
                && (reusable || value.eq_ignore_ascii_case(b"keep-alive"));
        }
    }
    let framing = match (status, chunked, announced) {
        (100..=199 | 204 | 304, ..) => Framing::Length(0),
        (_, true, _) => Framing::Chunked,
        (_, false, Some(length)) => Framing::Length(length),
        (_, false, None) => Framing::UntilClose,
    };
    Ok(Some((
        length,
        Head {
            status,
            generation,
            reusable,
            framing,
        },
    )))
}

/// Reads a number from a header that may be repeated, but not with another value.
fn agree<T: std::str::FromStr + PartialEq>(
    known: &mut Option<T>,
    header: &httparse::Header<'_>,
) -> Result<(), Failure> {
    let value = std::str::from_utf8(header.value)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    match (value, known.take()) {
        (Some(value), None) => *known = Some(value),
        (Some(value), Some(other)) if value == other => *known = Some(value),
        (value, _) => {
            let what = if value.is_some() {
                "two values"
            } else {
                "no number"
            };
            return Err(malformed(format!("{what} in the header {}", header.name)));
        }
    }
    Ok(())
}
