//! Copies one file's bytes, holes as holes, and hashes what arrived.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{SeekFrom, ftruncate, ioctl_ficlone, seek};
use rustix::io::{Errno, pread, pwrite};

use super::halt::{CancelFlag, Progress};

/// Bytes moved by one call.
const PIECE: usize = 256 * 1024;
/// What a hole reads as.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE]);
}

/// Why a copy ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    Cancelled,
    Read(Errno),
    Write(Errno),
}

impl From<Stop> for io::Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Cancelled => Self::from(io::ErrorKind::Interrupted),
            Stop::Read(error) | Stop::Write(error) => error.into(),
        }
    }
}

/// One file to copy.
pub(crate) struct Copy<'a> {
    pub from: BorrowedFd<'a>,
    /// Open for reading and writing, empty.
    pub to: BorrowedFd<'a>,
    /// The source's size when it was opened; what is written beyond it later is not copied.
    pub size: u64,
    /// What of it is in use on disk; less than `size` means holes.
    pub allocated: u64,
    /// Whether the filesystem may share blocks; cleared by the first refusal.
    pub clones: &'a AtomicBool,
    pub progress: &'a Progress,
    pub cancel: &'a CancelFlag,
}

/// What a copy wrote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub hash: [u8; 32],
    /// Fewer than asked for if the source shrank.
    pub bytes: u64,
}

impl Copy<'_> {
    pub(crate) fn run(&self) -> Result<Written, Stop> {
        if self.size > 0 && self.clones.load(Ordering::Relaxed) {
            match ioctl_ficlone(self.to, self.from) {
                Ok(()) => {
                    self.progress.wrote(self.size);
                    return hash(self.to, self.size, self.cancel);
                }
                Err(Errno::NOSPC) => return Err(Stop::Write(Errno::NOSPC)),
                Err(Errno::INVAL | Errno::TXTBSY | Errno::PERM) => {} // this file only
                Err(_) => self.clones.store(false, Ordering::Relaxed),
            }
        }
        let mut hasher = blake3::Hasher::new();
        let bytes = if self.allocated < self.size {
            self.around_holes(&mut hasher)?
        } else {
            self.stretch(0, self.size, &mut hasher)?
        };
        Ok(Written {
            hash: *hasher.finalize().as_bytes(),
            bytes,
        })
    }

    /// Copies from `start` to `end`; says where it got to.
    fn stretch(&self, start: u64, end: u64, hasher: &mut blake3::Hasher) -> Result<u64, Stop> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut at = start;
            while at < end {
                self.check()?;
                let want = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
                let got = read(self.from, &mut buffer[..want], at)?;
                if got == 0 {
                    break;
                }
                hasher.update(&buffer[..got]);
                let mut done = 0;
                while done < got {
                    match pwrite(self.to, &buffer[done..got], at + done as u64) {
                        Ok(n) => done += n,
                        Err(Errno::INTR) => {}
                        Err(error) => return Err(Stop::Write(error)),
                    }
                }
                at += got as u64;
                self.progress.wrote(got as u64);
            }
            Ok(at)
        })
    }

    fn around_holes(&self, hasher: &mut blake3::Hasher) -> Result<u64, Stop> {
        let mut at = 0;
        while at < self.size {
            let data = match seek(self.from, SeekFrom::Data(at)) {
                Ok(data) => data.min(self.size),
                Err(Errno::NXIO) => self.size,
                Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
                Err(error) => return Err(Stop::Read(error)),
            };
            self.zeros(data - at, hasher)?;
            if data == self.size {
                at = data;
                break;
            }
            let end = match seek(self.from, SeekFrom::Hole(data)) {
                Ok(hole) => hole.min(self.size),
                Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => self.size,
                Err(error) => return Err(Stop::Read(error)),
            };
            at = self.stretch(data, end, hasher)?;
            if at < end {
                return Ok(at);
            }
        }
        ftruncate(self.to, self.size).map_err(Stop::Write)?;
        Ok(at)
    }

    fn zeros(&self, mut count: u64, hasher: &mut blake3::Hasher) -> Result<(), Stop> {
        while count > 0 {
            self.check()?;
            let piece = usize::try_from(count)
                .unwrap_or(ZEROS.len())
                .min(ZEROS.len());
            hasher.update(&ZEROS[..piece]);
            count -= piece as u64;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() {
            Err(Stop::Cancelled)
        } else {
            Ok(())
        }
    }
}

/// Hashes an open file up to a size.
pub(crate) fn hash(file: BorrowedFd<'_>, size: u64, cancel: &CancelFlag) -> Result<Written, Stop> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        while at < size {
            if cancel.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            let want = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
            let got = read(file.as_fd(), &mut buffer[..want], at)?;
            if got == 0 {
                break;
            }
            hasher.update(&buffer[..got]);
            at += got as u64;
        }
        Ok(Written {
            hash: *hasher.finalize().as_bytes(),
            bytes: at,
        })
    })
}

fn read(file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> Result<usize, Stop> {
    loop {
        match pread(file, &mut *buffer, at) {
            Ok(got) => return Ok(got),
            Err(Errno::INTR) => {}
            Err(error) => return Err(Stop::Read(error)),
        }
    }
}
