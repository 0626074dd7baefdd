//! Generated trees, hostile names included, against a naive copy and against each other.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::bed::{Bed, mode, mtime, set_mode, set_mtime, take};

#[derive(Debug, Clone)]
enum Node {
    File {
        content: Vec<u8>,
        mode: u32,
        mtime: (i64, i64),
    },
    Link(String),
    Folder {
        entries: BTreeMap<Vec<u8>, Node>,
        mode: u32,
    },
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let odd: Vec<&[u8]> = vec![
        b"-rf",
        b"...",
        b"..x",
        b" ",
        b"a\nb",
        b"\x1b[31m",
        b"\xff\xfe",
        b"e\xcc\x81",
        b"\xc3\xa9",
        b"\xe2\x80\xaegnp",
        b"a\\b",
        b"*",
        b"$(x)",
        b"'\"",
        b"a:b",
        b"\x7f",
        b"manifest",
        b"tree",
    ];
    prop_oneof![
        prop::sample::select(odd).prop_map(<[u8]>::to_vec),
        prop::collection::vec(1..=255_u8, 1..12),
        Just(vec![b'n'; 255]),
        "[a-z]{1,8}".prop_map(String::into_bytes),
    ]
    .prop_filter("a name", |n| !n.contains(&b'/') && n != b"." && n != b"..")
}

fn node() -> impl Strategy<Value = Node> {
    let times = (0..2_000_000_000_i64, 0..1_000_000_000_i64);
    let content = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        (0..600_000_usize, any::<u8>()).prop_map(|(n, byte)| vec![byte; n]),
    ];
    let leaf = prop_oneof![
        4 => (content, 0..0o7777_u32, times)
            .prop_map(|(content, mode, mtime)| Node::File { content, mode, mtime }),
        1 => prop::sample::select(vec!["x", "./y/z", "no/such", "a/../b"])
            .prop_map(|target| Node::Link(target.to_owned())),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        (
            prop::collection::btree_map(name(), inner, 0..6),
            0o700..0o1777_u32,
        )
            .prop_map(|(entries, mode)| Node::Folder { entries, mode })
    })
}

fn tree() -> impl Strategy<Value = BTreeMap<Vec<u8>, Node>> {
    prop::collection::btree_map(name(), node(), 0..8)
}

fn build(at: &Path, entries: &BTreeMap<Vec<u8>, Node>) {
    for (name, node) in entries {
        let path = at.join(OsStr::from_bytes(name));
        match node {
            Node::File {
                content,
                mode,
                mtime,
            } => {
                fs::write(&path, content).unwrap();
                set_mode(&path, *mode);
                set_mtime(&path, mtime.0, mtime.1);
            }
            Node::Link(target) => symlink(target, &path).unwrap(),
            Node::Folder { entries, mode } => {
                fs::create_dir(&path).unwrap();
                build(&path, entries);
                set_mode(&path, *mode);
            }
        }
    }
}

/// Everything a naive reader sees in a tree: mode, time, and content or target.
type Seen = BTreeMap<PathBuf, (u32, (i64, i64), Vec<u8>)>;

fn read(root: &Path) -> Seen {
    fn into(root: &Path, at: &Path, seen: &mut Seen) {
        let kind = fs::symlink_metadata(at).unwrap().file_type();
        let what = if kind.is_symlink() {
            fs::read_link(at)
                .unwrap()
                .into_os_string()
                .into_encoded_bytes()
        } else if kind.is_file() {
            fs::read(at).unwrap()
        } else {
            for entry in fs::read_dir(at).unwrap() {
                into(root, &entry.unwrap().path(), seen);
            }
            b"folder".to_vec()
        };
        let bits = if kind.is_symlink() {
            0
        } else {
            mode(at) & 0o1777
        };
        seen.insert(
            at.strip_prefix(root).unwrap().to_owned(),
            (bits, mtime(at), what),
        );
    }
    let mut seen = Seen::new();
    into(root, root, &mut seen);
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_release_is_what_a_naive_copy_is(tree in tree()) {
        let bed = Bed::new();
        build(&bed.source, &tree);
        let made = take(&bed.request("op")).unwrap();
        prop_assert_eq!(read(&made.path), read(&bed.source));
    }

    #[test]
    fn a_linked_release_is_what_a_copied_one_is(before in tree(), after in tree()) {
        let bed = Bed::new();
        build(&bed.source, &before);
        let first = take(&bed.request("first")).unwrap();
        fs::remove_dir_all(&bed.source).unwrap();
        fs::create_dir(&bed.source).unwrap();
        build(&bed.source, &after);
        let mut request = bed.request("second");
        request.base = Some(first.release.clone());
        let second = take(&request).unwrap();
        let kept = read(&first.path);
        // Times may have moved by the rule for equal size and second; content, modes and names may not.
        let strip = |seen: Seen| -> Vec<_> {
            seen.into_iter().map(|(path, (mode, _, what))| (path, mode, what)).collect()
        };
        prop_assert_eq!(strip(read(&second.path)), strip(read(&bed.source)));
        prop_assert_eq!(read(&first.path), kept);
    }

    #[test]
    fn the_digest_depends_on_the_tree_alone(tree in tree()) {
        let (one, two) = (Bed::new(), Bed::new());
        for bed in [&one, &two] {
            build(&bed.source, &tree);
        }
        // Folders were filled at different times: give both the same.
        for bed in [&one, &two] {
            for path in read(&bed.source).keys() {
                let path = bed.source.join(path);
                if !fs::symlink_metadata(&path).unwrap().is_file() {
                    set_mtime(&path, 1_000, 1);
                }
            }
        }
        let first = take(&one.request("a")).unwrap().release;
        prop_assert_eq!(&first, &take(&two.request("b")).unwrap().release);
        fs::write(two.source.join("one more"), "").unwrap();
        set_mtime(&two.source, 1_000, 1);
        prop_assert_ne!(&first, &take(&two.request("c")).unwrap().release);
    }
}
