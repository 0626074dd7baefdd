//! One connection: opened, looked at before each use, and used for one exchange at a time.

use std::io;
use std::net::SocketAddr;

use rustix::net::RecvFlags;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::answer::{self, Answer, Incoming, Keep};
use super::failure::{Class, Failure};
use super::outgoing::{self, Outgoing};

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    incoming: Incoming,
    answers: u64,
}

/// What a look at an idle connection shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    Open,
    /// The server closed or reset it while no request was under way.
    Closed,
    /// The server sent something that nobody asked for.
    Unasked,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| Failure::from_io(&error, "connecting"))?;
        stream
            .set_nodelay(true)
            .map_err(|error| Failure::from_io(&error, "connecting"))?;
        Ok(Self {
            stream,
            incoming: Incoming::default(),
            answers: 0,
        })
    }

    /// Whether the connection carried an answer already.
    pub(crate) fn reused(&self) -> bool {
        self.answers > 0
    }

    /// Asks the kernel what has arrived by now. The runtime's own readiness would be that of its last turn, and so too late.
    pub(crate) fn look(&self) -> Idle {
        let mut byte = [0_u8; 1];
        match rustix::net::recv(
            &self.stream,
            &mut byte,
            RecvFlags::PEEK | RecvFlags::DONTWAIT,
        ) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Idle::Open,
            Ok((_, 0)) | Err(_) => Idle::Closed,
            Ok(_) => Idle::Unasked,
        }
    }

    /// Whether an exchange that failed did so without a byte of answer, on a connection that had worked before.
    pub(crate) fn raced(&self, failure: &Failure) -> bool {
        self.reused()
            && self.incoming.received() == 0
            && matches!(failure.class, Class::EndBeforeResponse | Class::Reset)
    }

    /// How far the exchange under way has come.
    pub(crate) fn progress(&self) -> String {
        match self.incoming.received() {
            0 => "without a byte of answer".to_owned(),
            bytes => format!("with {bytes} bytes of an answer that has not ended"),
        }
    }

    /// Writes a request and reads its answer. Nothing awaits before the first byte is offered to the kernel.
    pub(crate) async fn exchange(
        &mut self,
        request: &Outgoing,
        block: &[u8],
        keep: Keep,
    ) -> Result<Answer, Failure> {
        self.incoming.begin();
        let written = self.write(request, block).await;
        let answer = answer::read(&mut self.stream, &mut self.incoming, keep).await;
        let answer = match (written, answer) {
            (Ok(()), answer) => answer?,
            // refused before it was sent whole, such as 413: the answer says more than the broken pipe
            (Err(_), Ok(answer)) => Answer {
                reusable: false,
                ..answer
            },
            (Err(error), Err(_)) => return Err(Failure::from_io(&error, "writing the request")),
        };
        if self.incoming.surplus() > 0 {
            let detail = format!(
                "{} bytes after the end of the answer",
                self.incoming.surplus()
            );
            return Err(Failure::new(Class::Malformed, detail));
        }
        self.answers += 1;
        Ok(answer)
    }

    async fn write(&mut self, request: &Outgoing, block: &[u8]) -> io::Result<()> {
        self.stream.write_all(request.head.as_bytes()).await?;
        for piece in outgoing::pieces(block, request.upload) {
            self.stream.write_all(piece).await?;
        }
        Ok(())
    }
}
