//! What kind of file a name says it is. Our own table: images lay out `/etc/nginx` differently.
//!
//! Source: the media types of <https://www.iana.org/assignments/media-types>, as nginx's own `mime.types` abridges them.

use crate::nginx::config::{Arg, Directive};

const TYPES: &[(&str, &[&str])] = &[
    ("text/html", &["html", "htm", "shtml"]),
    ("text/css", &["css"]),
    ("text/xml", &["xml"]),
    ("text/plain", &["txt"]),
    ("text/csv", &["csv"]),
    ("text/markdown", &["md"]),
    ("text/calendar", &["ics"]),
    ("text/vcard", &["vcf"]),
    ("text/vtt", &["vtt"]),
    ("text/javascript", &["js", "mjs"]),
    ("application/json", &["json", "map"]),
    ("application/ld+json", &["jsonld"]),
    ("application/manifest+json", &["webmanifest"]),
    ("application/wasm", &["wasm"]),
    ("application/atom+xml", &["atom"]),
    ("application/rss+xml", &["rss"]),
    ("application/xhtml+xml", &["xhtml"]),
    ("application/pdf", &["pdf"]),
    ("application/rtf", &["rtf"]),
    ("application/zip", &["zip"]),
    ("application/gzip", &["gz"]),
    ("application/x-7z-compressed", &["7z"]),
    ("application/x-tar", &["tar"]),
    ("application/vnd.rar", &["rar"]),
    ("application/msword", &["doc"]),
    ("application/vnd.ms-excel", &["xls"]),
    ("application/vnd.ms-powerpoint", &["ppt"]),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        &["docx"],
    ),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        &["xlsx"],
    ),
    (
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        &["pptx"],
    ),
    ("application/vnd.oasis.opendocument.text", &["odt"]),
    ("application/vnd.oasis.opendocument.spreadsheet", &["ods"]),
    ("application/vnd.ms-fontobject", &["eot"]),
    ("application/vnd.apple.mpegurl", &["m3u8"]),
    ("font/woff", &["woff"]),
    ("font/woff2", &["woff2"]),
    ("font/ttf", &["ttf"]),
    ("font/otf", &["otf"]),
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/png", &["png"]),
    ("image/gif", &["gif"]),
    ("image/webp", &["webp"]),
    ("image/avif", &["avif"]),
    ("image/svg+xml", &["svg", "svgz"]),
    ("image/x-icon", &["ico", "cur"]),
    ("image/bmp", &["bmp"]),
    ("image/tiff", &["tif", "tiff"]),
    ("audio/mpeg", &["mp3"]),
    ("audio/ogg", &["ogg", "oga"]),
    ("audio/wav", &["wav"]),
    ("audio/mp4", &["m4a"]),
    ("audio/flac", &["flac"]),
    ("video/mp4", &["mp4", "m4v"]),
    ("video/webm", &["webm"]),
    ("video/ogg", &["ogv"]),
    ("video/quicktime", &["mov"]),
    ("video/mp2t", &["ts"]),
];

/// The entries of a `types` block.
pub(super) fn types() -> Vec<Directive> {
    let entry = |(kind, names): &(&'static str, &[&'static str])| {
        Directive::line(Arg::word(kind), names.iter().map(|name| Arg::word(name)))
    };
    TYPES.iter().map(entry).collect()
}
