//! Takes one snapshot and prints what came of it as JSON, for `tests/scripts/bench-snapshot`.
//!
//! `snapshot SOURCE RELEASES OPERATION [BASE] [--verify]`; `snapshot --remove RELEASES DIGEST`.

use std::env;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use stratus_agent::tree::{self, CancelFlag, Progress, Request, Verify};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (words, verify) = match words.split_last() {
        Some((&"--verify", rest)) => (rest.to_vec(), Verify::Yes),
        _ => (words, Verify::No),
    };
    let (source, releases, operation, base) = match words[..] {
        ["--remove", releases, digest] => {
            return Ok(tree::remove(
                releases.as_ref(),
                digest,
                &CancelFlag::default(),
            )?);
        }
        [source, releases, operation] => (source, releases, operation, None),
        [source, releases, operation, base] => (source, releases, operation, Some(base.to_owned())),
        _ => bail!("usage: snapshot SOURCE RELEASES OPERATION [BASE] [--verify]"),
    };
    let mut request = Request::new(source, releases, operation);
    request.base = base;
    request.verify = verify;
    let start = Instant::now();
    let phases = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&phases);
    let progress = Progress::watched(move |phase| {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push(format!("{phase:?} from {} ms", start.elapsed().as_millis()));
    });
    let made =
        tree::take(&request, &progress, &CancelFlag::default()).context("no snapshot was taken")?;
    let answer = serde_json::json!({
        "release": made.release, "files": made.files, "bytes": made.bytes, "copied": made.copied,
        "linked": made.linked, "repeats": made.repeats, "ms": start.elapsed().as_millis(),
        "phases": *phases.lock().unwrap_or_else(PoisonError::into_inner),
    });
    writeln!(io::stdout(), "{answer}")?;
    Ok(())
}
