//! Writes a tree as the bytes of a manifest.

use super::{FORMAT, FolderKind, Header, MAGIC, Tree};
use crate::tree::stat::{Stat, Time};

/// A manifest ready to be written.
pub(crate) struct Encoded {
    pub header: Header,
    pub bytes: Vec<u8>,
}

/// Encodes a tree; the digest of its content is the release's name.
pub(crate) fn encode(tree: &Tree, creator: &str, created_unix_s: u64) -> Encoded {
    let ((content, release), (source, source_digest)) =
        rayon::join(|| hashed(content(tree)), || hashed(source(tree)));
    let header = Header {
        release,
        creator: creator.to_owned(),
        created_unix_s,
        files: tree.files(),
        folders: tree.folders.len() as u64,
        links: tree.links(),
        bytes: tree.bytes(),
        content_bytes: content.len() as u64,
        source_bytes: source.len() as u64,
        source_digest,
    };
    let json = serde_json::to_vec(&header).expect("a header has only strings and numbers");
    let mut out = Writer(Vec::with_capacity(
        json.len() + content.len() + source.len() + 64,
    ));
    out.0.extend_from_slice(MAGIC);
    out.u32(FORMAT);
    out.bytes(&json);
    let checksum = blake3::hash(&out.0);
    out.0.extend_from_slice(checksum.as_bytes());
    out.0.extend_from_slice(&content);
    out.0.extend_from_slice(&source);
    Encoded {
        header,
        bytes: out.0,
    }
}

fn hashed(bytes: Vec<u8>) -> (Vec<u8>, String) {
    let digest = blake3::hash(&bytes).to_hex().to_string();
    (bytes, digest)
}

/// What the release holds. Everything in here changes the digest.
fn content(tree: &Tree) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    out.u32(tree.owner.0);
    out.u32(tree.owner.1);
    out.count(tree.folders.len());
    for folder in &tree.folders {
        out.bytes(&folder.path);
        out.u32(folder.release_mode());
        out.time(folder.release_mtime());
        out.count(folder.files.len());
        for file in &folder.files {
            out.bytes(&file.name);
            out.u32(file.stat.release_mode());
            out.time(file.mtime);
            out.u64(file.stat.size);
            out.0.extend_from_slice(&file.hash);
        }
        out.count(folder.links.len());
        for link in &folder.links {
            out.bytes(&link.name);
            out.time(link.stat.mtime);
            out.bytes(link.release_target());
        }
    }
    out.0
}

/// What the source looked like, in the same order.
fn source(tree: &Tree) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    for folder in &tree.folders {
        out.0.push(u8::from(folder.kind == FolderKind::Stub));
        out.stat(&folder.stat);
        for file in &folder.files {
            out.0.push(u8::from(file.capabilities));
            out.stat(&file.stat);
        }
        for link in &folder.links {
            out.0.push(u8::from(link.rewritten.is_some()));
            out.stat(&link.stat);
            if link.rewritten.is_some() {
                out.bytes(&link.target);
            }
        }
    }
    out.0
}

struct Writer(Vec<u8>);

impl Writer {
    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("a tree has at most 2^32 entries, see Limits"));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn time(&mut self, time: Time) {
        self.u64(time.secs.cast_unsigned());
        self.u32(time.nanos);
    }

    fn stat(&mut self, stat: &Stat) {
        self.u32(stat.mode);
        self.u64(stat.size);
        self.time(stat.mtime);
        self.time(stat.ctime);
        self.u64(stat.ino);
    }
}
