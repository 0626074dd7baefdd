//! The unix datagram socket that nginx sends its records to, and the thread that reads it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// Longest record that is read, in bytes; a longer one is cut and then cannot be read.
const DATAGRAM_MAX: usize = 16 * 1024;
/// Records that may wait while this thread does not run.
const QUEUE: u32 = 4096;
/// How long a stop may take.
const STOP_LIMIT: Duration = Duration::from_millis(200);
/// Where the kernel keeps the length of the queue that a new socket gets. Source: `unix(7)`.
const QUEUE_SETTING: &str = "/proc/sys/net/unix/max_dgram_qlen";

/// The socket and its thread; both end when it is dropped.
pub(super) struct Listener {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens at `path` and hands every datagram to `take`.
    pub(super) fn start(path: &Path, take: impl Fn(&[u8]) + Send + 'static) -> io::Result<Self> {
        let socket = bind(path)?;
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let read = move || {
            let mut buffer = vec![0; DATAGRAM_MAX];
            while !stopped.load(Ordering::Relaxed) {
                // An error is the end of the wait: nothing else can happen to a bound socket.
                if let Ok(length) = socket.recv(&mut buffer) {
                    take(&buffer[..length]);
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("access-records".to_owned())
            .spawn(read)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, and then there is nothing left to end.
            let _ = thread.join();
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixDatagram> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let longer = LongerQueue::set();
    let socket = UnixDatagram::bind(path)?;
    drop(longer);
    // The folder keeps others out.
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    socket.set_read_timeout(Some(STOP_LIMIT))?;
    Ok(socket)
}

/// The queue setting, raised for as long as this lives: a socket takes it over when it is made, and with Debian's 10
/// records are dropped under load.
struct LongerQueue {
    setting: File,
    before: u32,
}

impl LongerQueue {
    /// `None` when it is long enough, or cannot be changed.
    fn set() -> Option<Self> {
        let raised = OpenOptions::new()
            .read(true)
            .write(true)
            .open(QUEUE_SETTING)
            .and_then(Self::raise);
        raised.unwrap_or_else(|error| {
            tracing::warn!(
                %error,
                "cannot lengthen the queue for access records: under load some will be lost and switches not \
                 counted; set net.unix.max_dgram_qlen to {QUEUE} with sysctl"
            );
            None
        })
    }

    fn raise(mut setting: File) -> io::Result<Option<Self>> {
        // Two servers that start at once must not put back each other's figure.
        flock(&setting, FlockOperation::LockExclusive)?;
        let mut text = String::new();
        setting.read_to_string(&mut text)?;
        let before = text.trim().parse().map_err(io::Error::other)?;
        if before >= QUEUE {
            return Ok(None);
        }
        let mut raised = Self { setting, before };
        raised.write(QUEUE)?;
        Ok(Some(raised))
    }

    fn write(&mut self, length: u32) -> io::Result<()> {
        self.setting.rewind()?;
        self.setting.write_all(length.to_string().as_bytes())
    }
}

impl Drop for LongerQueue {
    fn drop(&mut self) {
        let before = self.before;
        if let Err(error) = self.write(before) {
            tracing::warn!(%error, "cannot set net.unix.max_dgram_qlen back to {before}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// The setting while nobody has raised it: other tests raise it, too.
    fn setting() -> String {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(QUEUE_SETTING)
            .unwrap();
        flock(&file, FlockOperation::LockExclusive).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn every_datagram_of_a_burst_is_taken_and_the_setting_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.sock");
        let before = setting();
        let (sender, receiver) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let listener = Listener::start(&path, move |datagram| {
            let _ = gate.recv_timeout(Duration::from_millis(500));
            sender.send(datagram.to_vec()).unwrap();
        })
        .unwrap();
        assert_eq!(setting(), before);
        let client = UnixDatagram::unbound().unwrap();
        client.set_nonblocking(true).unwrap();
        // While the thread is held up: more than Debian's ten.
        for number in 0..100_u8 {
            client.send_to(&[number], &path).unwrap();
        }
        drop(go);
        for number in 0..100_u8 {
            assert_eq!(
                receiver.recv_timeout(Duration::from_secs(2)).unwrap(),
                [number]
            );
        }
        drop(listener);
        client.send_to(b"x", &path).unwrap_err();
    }

    #[test]
    fn what_an_earlier_server_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.sock");
        drop(bind(&path).unwrap());
        assert!(path.exists());
        bind(&path).unwrap();
    }
}
