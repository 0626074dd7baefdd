//! A `FastCGI` client for one request on a member's unix socket: bounded in time and size.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::answer::Answer;
use super::record::{self, Record, RecordError};

/// Most of an answer that is kept, in bytes; the rest is read and dropped, so that the script ends as it would.
const KEPT_MAX: usize = 4 << 20;
/// Most of an answer that is read, in bytes.
const READ_MAX: usize = 256 << 20;
/// Pause between two attempts to join a full backlog.
const RETRY: Duration = Duration::from_millis(20);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FastCgiError {
    /// Nobody listens: there is no socket, or its owner is gone.
    #[error("nobody listens on the socket")]
    NotListening(#[source] io::Error),
    /// The connection broke.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// It ended before the answer did: the worker died.
    #[error("the connection ended before the answer; the worker died")]
    Cut,
    /// The reply is no `FastCGI`.
    #[error("the reply cannot be understood")]
    Record(#[from] RecordError),
    /// The answer is beyond all bounds.
    #[error("the answer is longer than {READ_MAX} bytes")]
    TooLong,
    /// No answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// Sends one request and reads the whole answer, within `limit`. A full backlog is tried again until then.
///
/// # Errors
/// See [`FastCgiError`]; a status of 500 is an answer, not an error.
pub async fn call(
    socket: &Path,
    params: &[(&str, String)],
    body: &[u8],
    limit: Duration,
) -> Result<Answer, FastCgiError> {
    let deadline = Instant::now() + limit;
    timeout_at(deadline, exchange(socket, params, body))
        .await
        .unwrap_or(Err(FastCgiError::TimedOut(limit)))
}

async fn exchange(
    socket: &Path,
    params: &[(&str, String)],
    body: &[u8],
) -> Result<Answer, FastCgiError> {
    let mut stream = connect(socket).await?;
    let request = record::request(params.iter().map(|(n, v)| (*n, v.as_str())), body);
    stream.write_all(&request).await?;
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    let mut read = 0;
    loop {
        while let Some(record) = record::take(&mut buffer)? {
            match record {
                Record::Stdout(piece) => keep(&mut output, &piece),
                Record::Stderr(piece) => keep(&mut errors, &piece),
                Record::End(_) => return Ok(Answer::parse(&output, errors)),
                Record::Other(_) => {}
            }
        }
        match stream.read_buf(&mut buffer).await? {
            0 => return Err(FastCgiError::Cut),
            more => read += more,
        }
        if read > READ_MAX {
            return Err(FastCgiError::TooLong);
        }
    }
}

/// Connects; a member may have put anything at the path, so only a socket will do.
async fn connect(socket: &Path) -> Result<UnixStream, FastCgiError> {
    loop {
        let found = tokio::fs::symlink_metadata(socket).await;
        let found = found.map_err(FastCgiError::NotListening)?;
        if !std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) {
            let other = io::Error::other("it is no socket");
            return Err(FastCgiError::NotListening(other));
        }
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            // The backlog is full: the kernel does not queue connections to unix sockets beyond it.
            Err(full) if full.kind() == io::ErrorKind::WouldBlock => sleep(RETRY).await,
            Err(gone)
                if matches!(
                    gone.kind(),
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
                ) =>
            {
                return Err(FastCgiError::NotListening(gone));
            }
            Err(other) => return Err(other.into()),
        }
    }
}

fn keep(kept: &mut Vec<u8>, piece: &[u8]) {
    let room = KEPT_MAX.saturating_sub(kept.len());
    kept.extend_from_slice(&piece[..piece.len().min(room)]);
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    /// A member that reads a request and answers these bytes.
    async fn answered(bytes: Vec<u8>) -> Result<Answer, FastCgiError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let member = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(&bytes).await;
        });
        let answer = call(&path, &[("A", "b".to_owned())], b"", Duration::from_secs(5)).await;
        member.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn an_answer_in_pieces_is_put_together() {
        let mut bytes = vec![1, 6, 0, 1, 0, 6, 2, 0];
        bytes.extend_from_slice(b"A: b\n\n\0\0");
        bytes.extend_from_slice(&[1, 7, 0, 1, 0, 1, 0, 0, b'!']);
        bytes.extend_from_slice(&[1, 6, 0, 1, 0, 2, 0, 0, b'h', b'i']);
        bytes.extend_from_slice(&[1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let answer = answered(bytes).await.unwrap();
        assert_eq!(answer.body, b"hi");
        assert_eq!(answer.errors, b"!");
    }

    #[tokio::test]
    async fn an_answer_that_ends_early_is_cut_and_a_strange_one_is_refused() {
        let cut = answered(vec![1, 6, 0, 1, 0, 9, 0, 0, b'x']).await;
        assert!(matches!(cut, Err(FastCgiError::Cut)), "{cut:?}");
        let strange = answered(b"HTTP/1.0 200".to_vec()).await;
        assert!(
            matches!(strange, Err(FastCgiError::Record(_))),
            "{strange:?}"
        );
    }

    #[tokio::test]
    async fn a_member_that_never_answers_ends_at_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let answer = call(&path, &[], b"", Duration::from_millis(50)).await;
        assert!(
            matches!(answer, Err(FastCgiError::TimedOut(_))),
            "{answer:?}"
        );
    }

    #[tokio::test]
    async fn a_link_in_place_of_a_socket_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.sock");
        let _listener = UnixListener::bind(folder.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", &path).unwrap();
        let answer = call(&path, &[], b"", Duration::from_secs(1)).await;
        assert!(
            matches!(answer, Err(FastCgiError::NotListening(_))),
            "{answer:?}"
        );
    }
}
