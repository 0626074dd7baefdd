//! TLS: which certificate is shown to whom.

use super::Settings;
use crate::layout::Layout;
use crate::nginx::config::{Arg, Directive, Unprintable};

/// Where visitors come by TLS, in nginx's container.
const PORT: u16 = 443;

/// Whether visitors may come by TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// They may not.
    Absent,
    /// They may.
    Offered,
}

/// The certificate, for all servers. It is read at a handshake and kept for a minute; one that is not there yet fails
/// handshakes and not the text, and one that is replaced is seen without a reload.
pub(super) fn certificate(
    settings: &Settings,
    layout: &Layout,
) -> Result<Vec<Directive>, Unprintable> {
    if settings.tls == Tls::Absent {
        return Ok(Vec::new());
    }
    // `$host` is not known at a handshake: it would always be the server's first name.
    let map = [Arg::var("ssl_server_name"), Arg::var("stratus_tls")];
    let folder = Arg::path(&layout.nginx_tls())?;
    let file = |name| [Arg::var("stratus_tls").then(name)];
    Ok(vec![
        Directive::block("map", map, vec![Directive::line("default", [folder])]),
        Directive::line("ssl_certificate", file("/cert.pem".into())),
        Directive::line("ssl_certificate_key", file("/key.pem".into())),
        Directive::words("ssl_certificate_cache", &["max=1000", "valid=60s"]),
        Directive::words("ssl_protocols", &["TLSv1.2", "TLSv1.3"]),
    ])
}

/// What a server listens on for TLS, with `more` behind it.
pub(super) fn listen(settings: &Settings, more: &[Arg]) -> Option<Directive> {
    let words = [Arg::number(PORT), "ssl".into()];
    (settings.tls == Tls::Offered)
        .then(|| Directive::line("listen", words.into_iter().chain(more.iter().cloned())))
}
