//! What the headers say that POSIX added to tar: names, links, and files with holes.

use super::*;

/// A tar of one entry that is `a`, with what a pax header says of it.
fn pax_of(kind: EntryType, said: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let said = said.iter().map(|(key, value)| (*key, value.as_bytes()));
    tar.append_pax_extensions(said).unwrap();
    let mut header = Header::new_ustar();
    header.set_path("a").unwrap();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_mtime(1);
    header.set_size(0);
    header.set_cksum();
    tar.append(&header, &b""[..]).unwrap();
    tar.into_inner().unwrap()
}

#[test]
fn what_a_pax_header_says_is_held_to_the_same() {
    let bed = Bed::new();
    for path in ["../out", "/out", "b/../../out"] {
        bed.refuses(&pax_of(FILE, &[("path", path)]), "leads out of the archive");
    }
    for to in ["../code", "/etc/passwd"] {
        bed.refuses(
            &pax_of(EntryType::Link, &[("linkpath", to)]),
            "is a hard link",
        );
    }
    bed.unpack(&bed.write(&pax_of(FILE, &[("path", "b/c"), ("comment", "x")])))
        .unwrap();
    assert!(bed.unpacked().join("b/c").is_file());
    // Each of the three ways to say that a file is sparse.
    for key in [
        "GNU.sparse.size",
        "GNU.sparse.map",
        "GNU.sparse.major",
        "GNU.sparse.name",
    ] {
        bed.refuses(&pax_of(FILE, &[("path", "b"), (key, "1")]), "sparse file");
    }
}

#[test]
fn a_sparse_file_as_tar_packs_it_is_refused_and_not_unpacked_as_its_map() {
    let bed = Bed::new();
    let file = File::create(bed.path("code/sparse.php")).unwrap();
    file.set_len(8 << 20).unwrap();
    let packed = std::process::Command::new("tar")
        .args(["--format=posix", "-S", "-cf"])
        .arg(bed.path("archive"))
        .arg("-C")
        .arg(bed.path("code"))
        .arg("sparse.php")
        .status()
        .unwrap();
    assert!(packed.success());
    let refused = bed.unpack(&bed.path("archive")).unwrap_err();
    assert!(refused.contains("sparse file"), "{refused}");
}
