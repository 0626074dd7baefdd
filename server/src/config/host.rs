//! Host names: lower case, plain ASCII, each claimed by one environment.

use std::collections::HashMap;

use super::section::{Section, Value, shown};

/// Longest name and longest label, in bytes. Source: RFC 1035, 2.3.4.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Which environment has which name, and in which line it says so.
pub(super) type Claimed = HashMap<String, (String, u64)>;

/// Reads `hosts`.
pub(super) fn read(
    section: &Section<'_>,
    environment: &str,
    claimed: &mut Claimed,
) -> Option<Vec<String>> {
    let value = section.need("hosts", "[shop.example.test]")?;
    let items = value.items()?;
    if items.is_empty() {
        value.fault("is empty; name at least one host");
        return None;
    }
    let hosts = items
        .iter()
        .map(|item| claim(item, environment, claimed))
        .collect::<Vec<_>>();
    hosts.into_iter().collect()
}

fn claim(item: &Value<'_>, environment: &str, claimed: &mut Claimed) -> Option<String> {
    let host = item.parse(name)?;
    if let Some((holder, line)) = claimed.get(&host) {
        item.fault(format!(
            "`{host}` already belongs to environment `{holder}` (line {line}); a host name has one environment"
        ));
        return None;
    }
    claimed.insert(host.clone(), (environment.to_owned(), item.line()));
    Some(host)
}

fn name(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    if !name.is_ascii() {
        return Err(format!(
            "`{}` is not ASCII; write the name's xn-- form",
            shown(text)
        ));
    }
    if name.contains('*') {
        return Err(format!(
            "`{}` is a pattern; list each host name",
            shown(text)
        ));
    }
    let label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if name.len() <= NAME_MAX && name.split('.').all(label) {
        return Ok(name);
    }
    Err(format!(
        "`{}` is not a host name; write it without scheme, port and final dot, such as shop.example.test",
        shown(text)
    ))
}
