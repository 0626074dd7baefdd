//! Visitors who are logged in to the shop and ask for their session without a pause. Each request counts the session up by
//! one, so a session or a login that is lost, a request that is lost or sent twice, and old code all show.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use hyper::Request;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::nginx::{Door, Kept, Reply};

/// Failures that are told one by one.
const TOLD: usize = 10;

/// The visitors, until they are asked what they saw.
pub struct Logins {
    visitors: JoinSet<()>,
    leave: CancellationToken,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    answers: AtomicU64,
    by_generation: Mutex<BTreeMap<u32, u64>>,
    /// The oldest release and generation that may answer a request which is sent now.
    release: AtomicU32,
    generation: AtomicU32,
    wrong: Mutex<Vec<String>>,
}

/// What a visitor was told of his session.
#[derive(Debug)]
struct Session {
    number: u64,
    generation: u32,
    release: u32,
    user: String,
}

/// One visitor.
struct Visitor {
    door: Door,
    connection: Option<Kept>,
    cookies: BTreeMap<String, String>,
}

impl Logins {
    /// Logs `count` visitors in with this password and lets them ask.
    ///
    /// # Errors
    /// When one cannot log in.
    pub async fn enter(door: Door, count: u32, password: &str) -> anyhow::Result<Self> {
        let (seen, leave) = (Arc::<Seen>::default(), CancellationToken::new());
        let mut visitors = JoinSet::new();
        for number in 0..count {
            let mut visitor = Visitor {
                door,
                connection: None,
                cookies: BTreeMap::new(),
            };
            let logged_in = visitor.log_in(password).await;
            logged_in.with_context(|| format!("visitor {number} cannot log in"))?;
            visitors.spawn(visitor.ask(seen.clone(), leave.clone()));
        }
        Ok(Self {
            visitors,
            leave,
            seen,
        })
    }

    /// Answers so far.
    pub fn answers(&self) -> u64 {
        self.seen.answers.load(Ordering::SeqCst)
    }

    /// Answers of a generation so far.
    pub fn answers_of(&self, generation: u32) -> u64 {
        let all = self
            .seen
            .by_generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.get(&generation).copied().unwrap_or(0)
    }

    /// From now on, an answer of older code to a request that is not sent yet is a failure.
    pub fn expect_from(&self, release: u32, generation: u32) {
        self.seen.release.store(release, Ordering::SeqCst);
        self.seen.generation.store(generation, Ordering::SeqCst);
    }

    /// Lets them go; answers how many answers they had, and everything that was wrong.
    pub async fn leave(mut self) -> (u64, Vec<String>) {
        self.leave.cancel();
        while let Some(left) = self.visitors.join_next().await {
            left.expect("a visitor does not panic");
        }
        let wrong = self
            .seen
            .wrong
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (self.answers(), wrong.clone())
    }
}

impl Seen {
    fn answer(&self, generation: u32) {
        self.answers.fetch_add(1, Ordering::SeqCst);
        let mut all = self
            .by_generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *all.entry(generation).or_insert(0) += 1;
    }

    fn complain(&self, what: String) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() < TOLD {
            eprintln!("demo: {what}");
        }
        wrong.push(what);
    }
}

impl Visitor {
    async fn log_in(&mut self, password: &str) -> anyhow::Result<()> {
        // WordPress wants to know first whether cookies come back.
        self.cookies
            .insert("wordpress_test_cookie".into(), "WP%20Cookie%20check".into());
        let form = format!("log=admin&pwd={password}&testcookie=1");
        let request = Request::post("/wp-login.php")
            .header("content-type", "application/x-www-form-urlencoded");
        let reply = self.send(request, form.into()).await?;
        ensure!(reply.status == 302, "the login answers {}", reply.status);
        let known = |name: &String| name.starts_with("wordpress_logged_in_");
        ensure!(self.cookies.keys().any(known), "the login sets no cookie");
        Ok(())
    }

    /// Asks until told to leave.
    async fn ask(mut self, seen: Arc<Seen>, leave: CancellationToken) {
        // Unknown before the first answer, and after a request of which nobody knows whether it arrived.
        let mut last = None;
        while !leave.is_cancelled() {
            let oldest = (
                seen.release.load(Ordering::SeqCst),
                seen.generation.load(Ordering::SeqCst),
            );
            match self.session().await {
                Ok(session) => {
                    seen.answer(session.generation);
                    if let Err(error) = session.check(last, oldest) {
                        seen.complain(error.to_string());
                    }
                    last = Some(session.number);
                }
                Err(error) => {
                    seen.complain(format!("lost: {error:#}"));
                    last = None;
                }
            }
        }
    }

    async fn session(&mut self) -> anyhow::Result<Session> {
        let reply = self
            .send(Request::get("/stratus/session"), Bytes::new())
            .await?;
        ensure!(reply.status == 200, "status {}", reply.status);
        Session::parse(&reply.text())
    }

    async fn send(
        &mut self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> anyhow::Result<Reply> {
        // nginx may have closed it in good order while it was idle.
        let idle = match self.connection.take() {
            Some(mut kept) => kept.is_open().await.then_some(kept),
            None => None,
        };
        let mut kept = match idle {
            Some(kept) => kept,
            None => self.door.open().await?,
        };
        let cookies = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        let reply = kept.send(request.header("cookie", cookies), body).await?;
        for cookie in reply.headers.get_all("set-cookie") {
            let cookie = cookie.to_str()?.split(';').next().unwrap_or_default();
            if let Some((name, value)) = cookie.split_once('=') {
                self.cookies
                    .insert(name.trim().to_owned(), value.to_owned());
            }
        }
        self.connection = Some(kept);
        Ok(reply)
    }
}

impl Session {
    /// Shape: `session=7 generation=3 release=2 user=admin`.
    fn parse(line: &str) -> anyhow::Result<Self> {
        let field = |name: &str| {
            let mut words = line
                .split_whitespace()
                .filter_map(|word| word.split_once('='));
            let found = words.find(|(key, _)| *key == name);
            found
                .map(|(_, value)| value)
                .with_context(|| format!("no {name} in {line:?}"))
        };
        Ok(Self {
            number: field("session")?.parse()?,
            generation: field("generation")?.parse()?,
            release: field("release")?.parse()?,
            user: field("user")?.to_owned(),
        })
    }

    /// What is wrong with it after an answer numbered `last`, where no older release and generation may answer.
    fn check(&self, last: Option<u64>, (release, generation): (u32, u32)) -> anyhow::Result<()> {
        if self.user != "admin" {
            bail!("logged out: {self:?}");
        }
        if let Some(last) = last.filter(|last| self.number != last + 1) {
            bail!("after {last} the session counts {}", self.number);
        }
        if self.release < release || self.generation < generation {
            bail!("old code: {self:?} after release {release}, generation {generation}, was live");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, last: Option<u64>, oldest: (u32, u32)) -> Result<(), String> {
        let session = Session::parse(line).expect("it is a session");
        session
            .check(last, oldest)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_session_that_counts_on_is_right_and_each_fault_is_named() {
        let line = "session=7 generation=3 release=2 user=admin";
        for last in [None, Some(6)] {
            assert_eq!(check(line, last, (2, 3)), Ok(()));
        }
        for (line, last, oldest, fault) in [
            (line, Some(7), (2, 3), "after 7 the session counts 7"),
            (line, Some(4), (2, 3), "after 4 the session counts 7"),
            (
                "session=1 generation=3 release=2 user=admin",
                Some(9),
                (2, 3),
                "after 9",
            ),
            (line, None, (3, 3), "old code"),
            (line, None, (2, 4), "old code"),
            (
                "session=7 generation=3 release=2 user=-",
                Some(6),
                (2, 3),
                "logged out",
            ),
        ] {
            let said = check(line, last, oldest).expect_err("it is wrong");
            assert!(said.contains(fault), "{said}");
        }
        assert!(Session::parse("<html>").is_err());
    }
}
