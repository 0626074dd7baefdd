//! Questions to nginx on its private socket, each on a fresh connection.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use stratus_core::{EnvironmentName, Generation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Response header in which nginx says which socket answered a ping.
pub const MEMBER_HEADER: &str = "X-Stratus-Member";
/// How long one question may take. A ping waits in a busy pool's queue, and nginx gives up on it after 10 s.
const ASK_LIMIT: Duration = Duration::from_secs(12);
/// How long one step of a question may take that is asked on the spot.
const NOW_LIMIT: Duration = Duration::from_millis(500);
/// Longest answer that is read, in bytes.
const ANSWER_MAX: u64 = 64 * 1024;

/// nginx's private socket.
#[derive(Debug, Clone)]
pub struct Control {
    socket: PathBuf,
}

/// What nginx answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body, without white space around it.
    pub body: String,
}

/// One member's answer to a ping through the environment's upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// Which member.
    pub member: u16,
    /// Which generation it says it is.
    pub generation: Generation,
}

/// The counters of `stub_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Requests since nginx was started, reloads included.
    pub requests: i64,
    /// Of these, whose head is being read.
    pub reading: i64,
    /// Of these, being answered.
    pub writing: i64,
}

impl Control {
    /// The private socket at `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// Where it is.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks for `path`.
    ///
    /// # Errors
    /// `NotFound` and `ConnectionRefused` when nobody listens.
    pub async fn get(&self, path: &str) -> io::Result<Answer> {
        let asked = async {
            let mut stream = tokio::net::UnixStream::connect(&self.socket).await?;
            stream.write_all(request(path).as_bytes()).await?;
            let mut raw = Vec::new();
            stream.take(ANSWER_MAX).read_to_end(&mut raw).await?;
            parse(&raw).ok_or_else(unreadable)
        };
        tokio::time::timeout(ASK_LIMIT, asked)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Asks for `path` and blocks the thread until the answer is there, half a second at most for each step.
    pub fn get_now(&self, path: &str) -> io::Result<Answer> {
        let mut stream = std::os::unix::net::UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(NOW_LIMIT))?;
        stream.set_write_timeout(Some(NOW_LIMIT))?;
        stream.write_all(request(path).as_bytes())?;
        let mut raw = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut raw)?;
        parse(&raw).ok_or_else(unreadable)
    }

    /// The revision that a worker serves.
    pub async fn revision(&self) -> io::Result<u64> {
        let answer = self.get("/.stratus/revision").await?;
        let number = answer.body.parse().ok().filter(|_| answer.status == 200);
        number.ok_or_else(unreadable)
    }

    /// The generation whose files serve.
    pub async fn generation(
        &self,
        environment: &EnvironmentName,
    ) -> io::Result<Option<Generation>> {
        let answer = self
            .get(&format!("/.stratus/generation/{environment}"))
            .await?;
        let number = answer.body.parse().ok().filter(|_| answer.status == 200);
        Ok(number.map(Generation))
    }

    /// Pings the next member of the environment's upstream; `None` when it did not answer as a member does.
    pub async fn ping(&self, environment: &EnvironmentName) -> io::Result<Option<Pong>> {
        Ok(pong(
            &self.get(&format!("/.stratus/ping/{environment}")).await?,
        ))
    }
}

impl Answer {
    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The counters, where this is a `stub_status` page.
    pub fn counters(&self) -> Option<Counters> {
        let mut lines = self.body.lines().skip(2);
        let requests = lines.next()?.split_whitespace().nth(2)?.parse().ok()?;
        let mut words = lines.next()?.split_whitespace();
        let (reading, writing) = (words.nth(1)?.parse().ok()?, words.nth(1)?.parse().ok()?);
        Some(Counters {
            requests,
            reading,
            writing,
        })
    }
}

fn pong(answer: &Answer) -> Option<Pong> {
    let socket = Path::new(answer.header(MEMBER_HEADER)?.strip_prefix("unix:")?);
    let member = socket.file_name()?.to_str()?.strip_suffix(".sock")?;
    (answer.status == 200).then_some(())?;
    Some(Pong {
        member: member.parse().ok()?,
        generation: Generation(answer.body.parse().ok()?),
    })
}

/// HTTP/1.0: the answer ends with the connection, and nothing is chunked.
fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.0\r\n\r\n")
}

fn parse(raw: &[u8]) -> Option<Answer> {
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&raw[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    Some(Answer {
        status,
        headers: lines.filter_map(header).collect(),
        body: String::from_utf8_lossy(&raw[end + 4..]).trim().to_owned(),
    })
}

fn unreadable() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the answer is not one of Stratus's nginx",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        let head = "HTTP/1.1 200 OK\r\nX-Stratus-Member: unix:/d/env/shop/live/sock/3.sock\r\n";
        parse(format!("{head}\r\n{body}").as_bytes()).expect("it parses")
    }

    #[test]
    fn a_pong_names_its_member_and_its_generation() {
        let expected = Pong {
            member: 3,
            generation: Generation(42),
        };
        assert_eq!(pong(&answer("42")), Some(expected));
        assert_eq!(pong(&answer("pong")), None);
    }

    #[test]
    fn the_counters_of_a_status_page_are_read() {
        let page = "Active connections: 3 \nserver accepts handled requests\n 9 9 31 \nReading: 1 Writing: 2 Waiting: 0 \n";
        let expected = Counters {
            requests: 31,
            reading: 1,
            writing: 2,
        };
        assert_eq!(answer(page).counters(), Some(expected));
        assert_eq!(answer("42").counters(), None);
    }

    #[test]
    fn an_answer_that_is_none_is_refused() {
        for bad in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "x\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
