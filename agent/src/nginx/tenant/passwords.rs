//! Password files: names and hashes, of kinds that nginx checks quickly.
//!
//! nginx checks a password while all its other visitors wait: a hash that takes a second to check is a second for every
//! site, at every try.

/// Most users of one file.
const USERS_MAX: usize = 1000;
/// Largest cost of bcrypt.
const BCRYPT_COST_MAX: u32 = 8;
/// Most rounds of SHA-crypt; its own default.
const ROUNDS_MAX: u32 = 5000;

/// The name that a file with this content is given on disk.
pub fn name(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

/// Checks the lines of a file. What is wrong is told by line, never by content.
pub fn check(text: &str) -> Result<(), String> {
    let mut users = 0;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end_matches('\r');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        users += 1;
        let at = index + 1;
        let hash = line.split_once(':').filter(|(user, _)| !user.is_empty());
        let Some((_, hash)) = hash else {
            return Err(format!(
                "line {at} is not `name:hash`; make it with htpasswd"
            ));
        };
        let hash = hash.split(':').next().unwrap_or_default();
        if !is_quick(hash) {
            return Err(format!(
                "line {at} has a hash that nginx does not know or that takes long to check; make it with `htpasswd -m`"
            ));
        }
    }
    match users {
        0 => Err("it names no user; make it with htpasswd".to_owned()),
        1..=USERS_MAX => Ok(()),
        _ => Err(format!("it names more than {USERS_MAX} users; split it")),
    }
}

fn is_quick(hash: &str) -> bool {
    let within = |number: Option<&str>, most: u32| {
        number.is_some_and(|number| number.parse::<u32>().is_ok_and(|number| number <= most))
    };
    let Some(kind) = hash.strip_prefix('$') else {
        // With an underscore before it, DES has as many rounds as the next characters say: up to 16 million.
        let is_des = hash.len() == 13
            && hash
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"./".contains(&b));
        let is_digest = ["{SHA}", "{SSHA}", "{PLAIN}"]
            .iter()
            .any(|kind| hash.len() > kind.len() && hash.starts_with(kind));
        return is_des || is_digest && !hash.chars().any(char::is_control);
    };
    let mut parts = kind.split('$');
    match parts.next() {
        Some("apr1" | "1") => true,
        Some("2a" | "2b" | "2y") => within(parts.next(), BCRYPT_COST_MAX),
        Some("5" | "6") => match parts.next().and_then(|part| part.strip_prefix("rounds=")) {
            None => true,
            rounds => within(rounds, ROUNDS_MAX),
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_that_htpasswd_makes_are_taken() {
        for good in [
            "anna:$apr1$x$y",
            "anna:{SHA}x",
            "anna:{PLAIN}x$y",
            "anna:rqXexS6ZhobKA",
            "anna:$2y$05$x",
            "anna:$6$salt$x",
            "# all\n\nanna:$1$x$y:comment\r\nbert:$5$rounds=1000$a$b\n",
        ] {
            check(good).unwrap_or_else(|why| panic!("{good}: {why}"));
        }
    }

    #[test]
    fn a_hash_that_holds_up_all_visitors_is_refused_without_being_told() {
        for bad in [
            "",
            "# nobody",
            "anna",
            ":x",
            "anna:",
            "anna:$2y$15$SECRET",
            "anna:$6$rounds=999999999$SECRET$x",
            "anna:$y$j9T$SECRET",
            "anna:$7$SECRET",
            "anna:$gy$SECRET",
            "anna:_zzzzSECRETxxxxxxxx",
            "anna:_zzzzSECRETx",
            "anna:SECRET",
            "anna:{MD5}SECRET",
            "anna:{SHA}",
        ] {
            let why = check(bad).unwrap_err();
            assert!(!why.contains("SECRET"), "{why}");
        }
        assert!(check(&"a:{SHA}b\n".repeat(1001)).is_err());
    }
}
