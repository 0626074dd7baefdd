//! Reads the bytes of a manifest; every length and order is checked, nothing is believed.

use super::{FORMAT, File, Folder, FolderKind, Header, Link, MAGIC, ManifestError, Tree, Way};
use crate::tree::name::RelPath;
use crate::tree::stat::{Stat, Time};

use ManifestError::Damaged;

/// Longest header accepted, in bytes.
const HEADER_LIMIT: usize = 64 * 1024;

/// Reads the header from the beginning of a manifest; more bytes may follow.
pub(crate) fn read_header(bytes: &[u8]) -> Result<Header, ManifestError> {
    header(bytes).map(|(header, _)| header)
}

/// How many bytes suffice for [`read_header`].
pub(crate) const HEADER_BYTES: usize = MAGIC.len() + 8 + HEADER_LIMIT + 32;

/// Reads a whole manifest.
pub(crate) fn read(bytes: &[u8]) -> Result<(Header, Tree), ManifestError> {
    let (header, rest) = header(bytes)?;
    let length = |n: u64| usize::try_from(n).map_err(|_| Damaged("length"));
    let content_bytes = length(header.content_bytes)?;
    let source_bytes = length(header.source_bytes)?;
    if content_bytes.checked_add(source_bytes) != Some(rest.len()) {
        return Err(Damaged("it is cut short, or longer than it says"));
    }
    let (content, source) = rest.split_at(content_bytes);
    if blake3::hash(content).to_hex().as_str() != header.release
        || blake3::hash(source).to_hex().as_str() != header.source_digest
    {
        return Err(Damaged("checksum"));
    }
    let tree = tree(&mut Reader(content), &mut Reader(source))?;
    Ok((header, tree))
}

fn header(bytes: &[u8]) -> Result<(Header, &[u8]), ManifestError> {
    let mut reader = Reader(bytes);
    if reader.take(MAGIC.len())? != MAGIC {
        return Err(Damaged("it does not begin like one"));
    }
    let found = reader.u32()?;
    if found > FORMAT {
        return Err(ManifestError::Newer { found });
    }
    if found == 0 {
        return Err(Damaged("format 0"));
    }
    let json = reader.bytes()?;
    if json.len() > HEADER_LIMIT {
        return Err(Damaged("header too long"));
    }
    let covered = bytes.len() - reader.0.len();
    if reader.take(32)? != blake3::hash(&bytes[..covered]).as_bytes() {
        return Err(Damaged("checksum of the header"));
    }
    let header = serde_json::from_slice(json).map_err(|_| Damaged("header"))?;
    Ok((header, reader.0))
}

fn tree(content: &mut Reader<'_>, source: &mut Reader<'_>) -> Result<Tree, ManifestError> {
    let owner = (content.u32()?, content.u32()?);
    let count = content.u32()?;
    let mut folders: Vec<Folder> = Vec::new();
    for _ in 0..count {
        let folder = folder(content, source)?;
        match folders.last() {
            None if !folder.path.is_empty() => return Err(Damaged("no root")),
            Some(last) if last.path >= folder.path => return Err(Damaged("order of folders")),
            _ => folders.push(folder),
        }
    }
    if folders.is_empty() {
        return Err(Damaged("no root"));
    }
    if !content.0.is_empty() || !source.0.is_empty() {
        return Err(Damaged("bytes left over"));
    }
    Ok(Tree { owner, folders })
}

fn folder(content: &mut Reader<'_>, source: &mut Reader<'_>) -> Result<Folder, ManifestError> {
    let path = content.bytes()?.into();
    let _mode = content.u32()?;
    let _mtime = content.time()?;
    let kind = if source.flag()? {
        FolderKind::Stub
    } else {
        FolderKind::Source
    };
    let stat = source.stat()?;
    let mut files: Vec<File> = Vec::new();
    for _ in 0..content.u32()? {
        let name = content.name()?;
        let _mode = content.u32()?;
        let mtime = content.time()?;
        let _size = content.u64()?;
        let hash = content.take(32)?.try_into().expect("32 bytes were taken");
        let capabilities = source.flag()?;
        let stat = source.stat()?;
        if files.last().is_some_and(|last| last.name >= name) {
            return Err(Damaged("order of files"));
        }
        files.push(File {
            name,
            stat,
            allocated: 0,
            hash,
            mtime,
            capabilities,
            sure: true,
            way: Way::Open,
        });
    }
    let mut links: Vec<Link> = Vec::new();
    for _ in 0..content.u32()? {
        let name = content.name()?;
        let _mtime = content.time()?;
        let target: Box<[u8]> = content.bytes()?.into();
        let is_rewritten = source.flag()?;
        let stat = source.stat()?;
        if links.last().is_some_and(|last| last.name >= name) {
            return Err(Damaged("order of links"));
        }
        let (target, rewritten) = if is_rewritten {
            (source.bytes()?.into(), Some(target))
        } else {
            (target, None)
        };
        links.push(Link {
            name,
            stat,
            target,
            rewritten,
            sure: true,
        });
    }
    Ok(Folder {
        path,
        stat,
        kind,
        sure: true,
        settled: true,
        files,
        links,
    })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ManifestError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(Damaged("it is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, ManifestError> {
        let bytes = self.take(4)?.try_into().expect("4 bytes were taken");
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> Result<u64, ManifestError> {
        let bytes = self.take(8)?.try_into().expect("8 bytes were taken");
        Ok(u64::from_le_bytes(bytes))
    }

    fn flag(&mut self) -> Result<bool, ManifestError> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Damaged("flag")),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], ManifestError> {
        let count = self.u32()?;
        self.take(usize::try_from(count).map_err(|_| Damaged("length"))?)
    }

    /// A name of an entry: one component.
    fn name(&mut self) -> Result<RelPath, ManifestError> {
        let name = self.bytes()?;
        if name.is_empty() || name.contains(&b'/') || matches!(name, b"." | b"..") {
            return Err(Damaged("name"));
        }
        Ok(name.into())
    }

    fn time(&mut self) -> Result<Time, ManifestError> {
        Ok(Time {
            secs: self.u64()?.cast_signed(),
            nanos: self.u32()?,
        })
    }

    fn stat(&mut self) -> Result<Stat, ManifestError> {
        Ok(Stat {
            mode: self.u32()?,
            size: self.u64()?,
            mtime: self.time()?,
            ctime: self.time()?,
            ino: self.u64()?,
        })
    }
}
