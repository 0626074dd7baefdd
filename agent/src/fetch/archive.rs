//! Unpacks an archive, told by its first bytes: tar, plain or packed with gzip or zstd, and zip.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use flate2::read::MultiGzDecoder;
use tar::EntryType;
use zip::ZipArchive;

use super::error::FetchError;
use super::frames::Frames;
use super::target::{Looks, Target};
use crate::tree::CancelFlag;
use crate::tree::name::Shown;

/// Where a tar says that it is one.
const TAR_MAGIC_AT: usize = 257;
/// The longest text of a link in a zip, in bytes.
const LINK_MAX: u64 = 4096;
/// Mode bits that say what an entry of a zip is.
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// Unpacks `file` into `target`.
///
/// # Errors
/// `Refused` when it is no archive that is known, is damaged, or holds what no release may.
pub(super) fn unpack(mut file: File, target: &mut Target<'_>) -> Result<(), FetchError> {
    let damaged = |e: io::Error| FetchError::Refused(format!("the archive cannot be read: {e}"));
    let packed = file.metadata().map_err(damaged)?;
    if !packed.is_file() {
        return Err(FetchError::Refused(
            "it is neither a folder nor a file".into(),
        ));
    }
    target.unpacks(packed.len());
    let mut head = Vec::new();
    let mut first = (&mut file).take(512);
    first.read_to_end(&mut head).map_err(damaged)?;
    file.rewind().map_err(damaged)?;
    match head.as_slice() {
        [0x1f, 0x8b, ..] => untar(MultiGzDecoder::new(BufReader::new(file)), target),
        // The second is that of a frame to be skipped, which some tools write first.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            untar(Frames::new(BufReader::new(file)), target)
        }
        [b'P', b'K', 3 | 5, 4 | 6, ..] => unzip(file, target),
        head if head.get(TAR_MAGIC_AT..TAR_MAGIC_AT + 5) == Some(b"ustar") => {
            untar(BufReader::new(file), target)
        }
        _ => Err(FetchError::Refused(
            "it is no archive that is known: a tar, plain or packed with gzip or zstd, or a zip"
                .into(),
        )),
    }
}

/// What is known of how far a reader is, and how much more it may read.
struct Watch<'a> {
    ended: Cell<bool>,
    /// Of the headers of one entry; none: as much as there is.
    left: Cell<Option<u64>>,
    /// Of all that is unpacked, whether it is written or skipped.
    in_all: Cell<u64>,
    cancel: &'a CancelFlag,
}

impl<'a> Watch<'a> {
    fn new(in_all: u64, cancel: &'a CancelFlag) -> Self {
        Self {
            ended: Cell::default(),
            left: Cell::default(),
            in_all: Cell::new(in_all),
            cancel,
        }
    }
}

/// Reads under a watch: what a library takes into memory by itself is bounded here.
struct Watched<'a, R> {
    inner: R,
    watch: &'a Watch<'a>,
}

impl<R: Seek> Seek for Watched<'_, R> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.watch.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let got = self.inner.read(buffer)?;
        let in_all = self.watch.in_all.get().checked_sub(got as u64);
        let bomb = || io::Error::other("it unpacks to more than code does");
        self.watch.in_all.set(in_all.ok_or_else(bomb)?);
        if got == 0 && !buffer.is_empty() {
            self.watch.ended.set(true);
        }
        if let Some(left) = self.watch.left.get() {
            let left = left.checked_sub(got as u64);
            let too_much = || io::Error::other("it says too much of its entries");
            self.watch.left.set(Some(left.ok_or_else(too_much)?));
        }
        Ok(got)
    }
}

fn untar(reader: impl Read, target: &mut Target<'_>) -> Result<(), FetchError> {
    let cancel = target.cancel;
    let damaged = |e: io::Error| {
        if cancel.is_cancelled() {
            FetchError::Cancelled
        } else {
            FetchError::Refused(format!("the archive is damaged: {e}"))
        }
    };
    let watch = Watch::new(target.outpour(), cancel);
    let mut watched = Watched {
        inner: reader,
        watch: &watch,
    };
    let mut archive = tar::Archive::new(&mut watched);
    let mut entries = archive.entries().map_err(damaged)?;
    loop {
        // The headers of an entry, long names among them.
        watch.left.set(Some(target.directory()));
        let Some(entry) = entries.next() else { break };
        let entry = entry.map_err(damaged)?;
        watch.left.set(None);
        untar_entry(entry, target)?;
    }
    watch.left.set(None);
    if watch.ended.get() {
        return Err(FetchError::Refused("the archive is cut short".into()));
    }
    // What is behind the end says whether all of it came: the checksum of what packed it.
    let mut rest = vec![0; 64 * 1024];
    let mut behind: u64 = 0;
    loop {
        match watched.read(&mut rest).map_err(damaged)? {
            0 => return Ok(()),
            got => behind += got as u64,
        }
        if target.cancel.is_cancelled() {
            return Err(FetchError::Cancelled);
        }
        if behind > 16 << 20 {
            return Err(FetchError::Refused(
                "there is more behind the end of the archive".into(),
            ));
        }
    }
}

fn untar_entry<R: Read>(
    mut entry: tar::Entry<'_, R>,
    target: &mut Target<'_>,
) -> Result<(), FetchError> {
    let kind = entry.header().entry_type();
    let name = entry.path_bytes().into_owned();
    let bad = |e: io::Error| FetchError::Refused(format!("{}: {e}", Shown(&name)));
    refuse_sparse(&mut entry, &name)?;
    let mtime = entry.header().mtime().map_err(bad)?;
    let looks = Looks {
        mode: entry.header().mode().map_err(bad)?,
        mtime: i64::try_from(mtime).unwrap_or(0),
    };
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let size = entry.size();
            target.file(&name, looks, Some(size), &mut entry)
        }
        EntryType::Directory => target.folder(&name, looks),
        EntryType::Symlink | EntryType::Link => {
            let to = entry.link_name_bytes().unwrap_or_default().into_owned();
            match kind {
                EntryType::Symlink => target.link(&name, &to, looks),
                _ => target.hard_link(&name, &to),
            }
        }
        // What a pax header says of all that follows, such as git's commit.
        EntryType::XGlobalHeader => Ok(()),
        _ => Err(FetchError::Refused(format!(
            "{} is neither a file, a folder nor a link",
            Shown(&name)
        ))),
    }
}

/// In a pax header a sparse file has another name than the header says, and a map of its holes before its content: not
/// understood, that would be code in the wrong place.
fn refuse_sparse<R: Read>(entry: &mut tar::Entry<'_, R>, name: &[u8]) -> Result<(), FetchError> {
    if entry.header().entry_type() == EntryType::XGlobalHeader {
        // Not taken into memory: what it says of all is not heeded.
        return Ok(());
    }
    let refused = |what: String| FetchError::Refused(format!("{}: {what}", Shown(name)));
    let said = entry.pax_extensions().map_err(|e| refused(e.to_string()))?;
    for extension in said.into_iter().flatten() {
        let extension = extension.map_err(|e| refused(e.to_string()))?;
        if extension.key_bytes().starts_with(b"GNU.sparse") {
            return Err(refused(
                "it is stored as a sparse file; pack it again without --sparse".into(),
            ));
        }
    }
    Ok(())
}

fn unzip(reader: impl Read + Seek, target: &mut Target<'_>) -> Result<(), FetchError> {
    let damaged = |e| FetchError::Refused(format!("the archive is damaged: {e}"));
    // A zip is read where its directory says, and each entry is counted as it is written.
    let watch = Watch::new(u64::MAX, target.cancel);
    watch.left.set(Some(target.directory()));
    let watched = Watched {
        inner: BufReader::new(reader),
        watch: &watch,
    };
    let mut archive = ZipArchive::new(watched).map_err(damaged)?;
    watch.left.set(None);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damaged)?;
        let name = entry.name_raw().to_vec();
        let mode = entry.unix_mode();
        let looks = |default| Looks {
            // Where it was packed on a system without modes, it says nothing or 0.
            mode: mode
                .map(|m| m & 0o777)
                .filter(|m| *m != 0)
                .unwrap_or(default),
            mtime: entry.last_modified().and_then(seconds).unwrap_or(0),
        };
        let kind = mode.map_or(0, |mode| mode & TYPE);
        match kind {
            _ if name.ends_with(b"/") => target.folder(&name, looks(0o755))?,
            FOLDER => target.folder(&name, looks(0o755))?,
            LINK => {
                let looks = looks(0o777);
                let mut to = Vec::new();
                let read = (&mut entry).take(LINK_MAX + 1).read_to_end(&mut to);
                read.map_err(|e| FetchError::Refused(format!("{}: {e}", Shown(&name))))?;
                target.link(&name, &to, looks)?;
            }
            0 | REGULAR => {
                let (looks, size) = (looks(0o644), entry.size());
                target.file(&name, looks, Some(size), &mut entry)?;
            }
            _ => {
                return Err(FetchError::Refused(format!(
                    "{} is neither a file, a folder nor a link",
                    Shown(&name)
                )));
            }
        }
    }
    Ok(())
}

/// A time without a zone, taken as UTC: the same archive gives the same times everywhere.
fn seconds(time: zip::DateTime) -> Option<i64> {
    let part = |n: u8| i8::try_from(n).ok();
    let year = i16::try_from(time.year()).ok()?;
    let date = jiff::civil::Date::new(year, part(time.month())?, part(time.day())?).ok()?;
    let clock = jiff::civil::Time::new(
        part(time.hour())?,
        part(time.minute())?,
        part(time.second())?.min(59),
        0,
    );
    let zoned = date
        .to_datetime(clock.ok()?)
        .to_zoned(jiff::tz::TimeZone::UTC);
    Some(zoned.ok()?.timestamp().as_second())
}
