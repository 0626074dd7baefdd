//! Barriers against members that are made of a socket and a script of answers.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::super::carrier::Carrier;
use super::*;

const LONG: Duration = Duration::from_secs(20);

/// A container in one state for ever.
struct Stuck(State);

#[async_trait]
impl Carrier for Stuck {
    async fn state(&self) -> Result<State, RuntimeError> {
        Ok(self.0)
    }
    async fn log(&self) -> String {
        String::new()
    }
    async fn out_of_memory(&self) -> bool {
        false
    }
}

fn member(socket: &Path, state: State) -> Member {
    Member {
        index: 0,
        socket: socket.to_owned(),
        carrier: Box::new(Stuck(state)),
    }
}

/// A member that answers with these numbers of busy workers, the last one for ever; and how often it was asked.
fn answering(socket: &Path, busy: &[u64]) -> Arc<AtomicUsize> {
    let listener = UnixListener::bind(socket).unwrap();
    answer(listener, busy)
}

fn answer(listener: UnixListener, busy: &[u64]) -> Arc<AtomicUsize> {
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, mut busy) = (asked.clone(), busy.iter().copied().collect::<VecDeque<_>>());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let now = if busy.len() > 1 {
                busy.pop_front().unwrap()
            } else {
                busy[0]
            };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(&reply(now)).await;
        }
    });
    asked
}

fn reply(busy: u64) -> Vec<u8> {
    let mut processes = vec![r#"{"state":"Idle","request uri":"/"}"#.to_owned()];
    processes.extend((0..busy).map(|_| r#"{"state":"Reading headers"}"#.to_owned()));
    let page = format!("\r\n\r\n{{\"processes\":[{}]}}", processes.join(","));
    let length = u16::try_from(page.len()).unwrap().to_be_bytes();
    let mut bytes = vec![1, 6, 0, 1, length[0], length[1], 0, 0];
    bytes.extend_from_slice(page.as_bytes());
    bytes.extend_from_slice(&[1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

#[tokio::test]
async fn one_clear_barrier_is_not_enough_and_the_second_must_be_clear_too() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("0.sock");
    let asked = answering(&socket, &[0, 1, 0, 0]);
    let before = Instant::now();
    let drained = drain(&[member(&socket, State::Running)], 2, LONG)
        .await
        .unwrap();
    assert_eq!(drained.remaining, 0);
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    assert!(before.elapsed() >= 2 * GAP, "{:?}", before.elapsed());
}

#[tokio::test]
async fn one_busy_member_keeps_the_pool_from_being_drained() {
    let folder = tempfile::tempdir().unwrap();
    let (idle, busy) = (folder.path().join("0.sock"), folder.path().join("1.sock"));
    answering(&idle, &[0]);
    answering(&busy, &[2]);
    let members = [member(&idle, State::Running), member(&busy, State::Running)];
    let limit = Duration::from_millis(200);
    let drained = drain(&members, 3, limit).await.unwrap();
    assert_eq!(drained.remaining, 2);
}

#[tokio::test]
async fn a_clear_barrier_at_the_limit_is_still_confirmed_by_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("0.sock");
    let asked = answering(&socket, &[0]);
    let limit = Duration::from_millis(50);
    let drained = drain(&[member(&socket, State::Running)], 2, limit)
        .await
        .unwrap();
    assert_eq!(drained.remaining, 0);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_member_that_does_not_run_holds_nothing_and_one_that_runs_unheard_may() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("0.sock");
    for state in [State::Ended(0), State::Created, State::Missing] {
        let drained = drain(&[member(&nowhere, state)], 2, LONG).await.unwrap();
        assert_eq!(drained.remaining, 0, "{state:?}");
    }
    let limit = Duration::from_millis(100);
    let unheard = [member(&nowhere, State::Running)];
    assert_eq!(drain(&unheard, 2, limit).await.unwrap().remaining, 2);
}

#[tokio::test]
async fn a_full_backlog_is_tried_again_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("0.sock");
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listening =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    rustix::net::bind(&listening, &SocketAddrUnix::new(&socket).unwrap()).unwrap();
    rustix::net::listen(&listening, 0).unwrap();
    let mut queued = Vec::new();
    let full = loop {
        match tokio::net::UnixStream::connect(&socket).await {
            Ok(stream) => queued.push(stream),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
    let waiting = tokio::spawn(async move {
        let members = [member(&socket, State::Running)];
        drain(&members, 2, LONG).await
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    drop(queued);
    let listener = std::os::unix::net::UnixListener::from(listening);
    answer(UnixListener::from_std(listener).unwrap(), &[0]);
    assert_eq!(waiting.await.unwrap().unwrap().remaining, 0);
}
