//! `FastCGI` records: bytes to values and back, without I/O.
//!
//! *Source*: the `FastCGI` specification 1.0, sections 3.3, 3.4, 5 and 8.

use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: u8 = 1;
const HEADER: usize = 8;
/// The one request a connection carries.
const REQUEST: u16 = 1;
/// Most of a record's content, in bytes.
const CONTENT_MAX: usize = 65_535;

const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;

/// A reply that does not follow the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Another version of the protocol, or another protocol.
    #[error("the first byte of a record is {0}, not {VERSION}")]
    Version(u8),
    /// An end record without a status.
    #[error("the end record has {0} bytes, not 8")]
    End(usize),
    /// FPM did not run the request: 1 cannot multiplex, 2 overloaded, 3 unknown role.
    #[error("the request was refused with protocol status {0}")]
    Refused(u8),
}

/// One record of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A piece of the answer.
    Stdout(Bytes),
    /// A piece of the error output.
    Stderr(Bytes),
    /// The end; the exit status of the script.
    End(u32),
    /// A record of no interest here.
    Other(u8),
}

/// A whole request: begin, parameters, body.
pub fn request<'a>(params: impl IntoIterator<Item = (&'a str, &'a str)>, body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    // Role 1 (responder), flags 0: the connection ends with the request.
    record(&mut out, BEGIN_REQUEST, &[0, 1, 0, 0, 0, 0, 0, 0]);
    let mut pairs = BytesMut::new();
    for (name, value) in params {
        length(&mut pairs, name.len());
        length(&mut pairs, value.len());
        pairs.put_slice(name.as_bytes());
        pairs.put_slice(value.as_bytes());
    }
    stream(&mut out, PARAMS, &pairs);
    stream(&mut out, STDIN, body);
    out.freeze()
}

/// Takes one record off the front of `buffer`; `None` when it is not all there yet.
///
/// # Errors
/// When the bytes are no `FastCGI`.
pub fn take(buffer: &mut BytesMut) -> Result<Option<Record>, RecordError> {
    let Some(&version) = buffer.first() else {
        return Ok(None);
    };
    if version != VERSION {
        return Err(RecordError::Version(version));
    }
    if buffer.len() < HEADER {
        return Ok(None);
    }
    let kind = buffer[1];
    let content = usize::from(u16::from_be_bytes([buffer[4], buffer[5]]));
    let padding = usize::from(buffer[6]);
    if buffer.len() < HEADER + content + padding {
        return Ok(None);
    }
    buffer.advance(HEADER);
    let content = buffer.split_to(content).freeze();
    buffer.advance(padding);
    match kind {
        STDOUT => Ok(Some(Record::Stdout(content))),
        STDERR => Ok(Some(Record::Stderr(content))),
        END_REQUEST => end(&content).map(Some),
        other => Ok(Some(Record::Other(other))),
    }
}

fn end(content: &[u8]) -> Result<Record, RecordError> {
    let &[a, b, c, d, status, _, _, _] = content else {
        return Err(RecordError::End(content.len()));
    };
    if status != 0 {
        return Err(RecordError::Refused(status));
    }
    Ok(Record::End(u32::from_be_bytes([a, b, c, d])))
}

/// Section 3.4: one byte up to 127, else four with the highest bit set.
fn length(out: &mut BytesMut, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < 128 => out.put_u8(short),
        _ => out.put_u32(u32::try_from(length).unwrap_or(u32::MAX >> 1) | 1 << 31),
    }
}

/// A stream: its content in pieces, then an empty record.
fn stream(out: &mut BytesMut, kind: u8, content: &[u8]) {
    for piece in content.chunks(CONTENT_MAX) {
        record(out, kind, piece);
    }
    record(out, kind, &[]);
}

fn record(out: &mut BytesMut, kind: u8, content: &[u8]) {
    out.put_u8(VERSION);
    out.put_u8(kind);
    out.put_u16(REQUEST);
    out.put_u16(u16::try_from(content.len()).expect("pieces are CONTENT_MAX at most"));
    out.put_u16(0);
    out.put_slice(content);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(kind: u8, content: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        record(&mut out, kind, content);
        out
    }

    #[test]
    fn a_request_is_begin_parameters_and_body_each_stream_ended_by_an_empty_record() {
        let bytes = request([("A", "b")], b"xyz");
        let expected: &[u8] = &[
            1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, // begin
            1, 4, 0, 1, 0, 4, 0, 0, 1, 1, b'A', b'b', // params
            1, 4, 0, 1, 0, 0, 0, 0, // end of params
            1, 5, 0, 1, 0, 3, 0, 0, b'x', b'y', b'z', // body
            1, 5, 0, 1, 0, 0, 0, 0, // end of body
        ];
        assert_eq!(&bytes[..], expected);
    }

    #[test]
    fn long_values_have_four_bytes_of_length() {
        let value = "v".repeat(300);
        let bytes = request([("N", value.as_str())], b"");
        assert_eq!(&bytes[24..29], &[1, 0x80, 0, 1, 44]);
    }

    #[test]
    fn a_record_is_taken_only_when_it_is_all_there() {
        let whole = reply(STDOUT, b"hello");
        for cut in 0..whole.len() {
            let mut part = BytesMut::from(&whole[..cut]);
            assert_eq!(take(&mut part), Ok(None), "{cut}");
        }
        let mut all = whole;
        let taken = take(&mut all).unwrap();
        assert_eq!(taken, Some(Record::Stdout(Bytes::from_static(b"hello"))));
        assert!(all.is_empty());
    }

    #[test]
    fn an_end_says_the_scripts_status_or_why_it_did_not_run() {
        let mut ended = reply(END_REQUEST, &[0, 0, 0, 255, 0, 0, 0, 0]);
        assert_eq!(take(&mut ended), Ok(Some(Record::End(255))));
        let mut busy = reply(END_REQUEST, &[0, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(take(&mut busy), Err(RecordError::Refused(2)));
        let mut short = reply(END_REQUEST, &[0]);
        assert_eq!(take(&mut short), Err(RecordError::End(1)));
    }

    #[test]
    fn another_protocol_is_an_error() {
        let mut http = BytesMut::from(&b"HTTP/1.1 400 Bad Request\r\n"[..]);
        assert_eq!(take(&mut http), Err(RecordError::Version(b'H')));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic_or_stand_still(bytes in prop::collection::vec(any::<u8>(), 0..2000), ours: bool) {
            let mut buffer = BytesMut::from(&bytes[..]);
            if ours && !buffer.is_empty() {
                buffer[0] = VERSION;
            }
            loop {
                let before = buffer.len();
                match take(&mut buffer) {
                    Ok(Some(_)) => prop_assert!(buffer.len() < before),
                    Ok(None) | Err(_) => break,
                }
            }
        }

        #[test]
        fn content_of_any_length_comes_back(content in prop::collection::vec(any::<u8>(), 0..200_000)) {
            let mut buffer = BytesMut::new();
            stream(&mut buffer, STDOUT, &content);
            let mut back = Vec::new();
            while let Some(Record::Stdout(piece)) = take(&mut buffer).unwrap() {
                back.extend_from_slice(&piece);
            }
            prop_assert_eq!(back, content);
        }
    }
}
