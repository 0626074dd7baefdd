//! Names and numbers that identify things, each a type of its own so that one cannot be passed for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest environment name, in bytes: it keeps socket paths under the kernel's 107.
pub const NAME_MAX: usize = 40;

/// The text is not a valid identifier of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}: {rule}")]
pub struct InvalidId {
    /// What it was meant to be.
    pub kind: &'static str,
    /// What was given.
    pub text: String,
    /// What is allowed.
    pub rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { kind: $kind, text: text.to_owned(), rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// Name of an environment, `[a-z][a-z0-9-]{0,39}`.
    EnvironmentName,
    "environment name",
    "use a lower case letter, then lower case letters, digits and hyphens, 40 at most",
    |text| {
        text.len() <= NAME_MAX
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }
);

text_id!(
    /// Identifies one data folder, so that two servers on one engine never meet. Shape: `5f3a9c`.
    InstallationId,
    "installation id",
    "six lower case hexadecimal digits",
    |text| text.len() == 6 && is_lower_hex(text)
);

text_id!(
    /// Identifies an operation. Shape: a version 7 UUID.
    OperationId,
    "operation id",
    "letters, digits and hyphens, 64 at most",
    |text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    }
);

text_id!(
    /// Digest of a release's manifest, 64 lower case hexadecimal digits (BLAKE3).
    ReleaseId,
    "release",
    "64 lower case hexadecimal digits",
    |text| text.len() == 64 && is_lower_hex(text)
);

impl ReleaseId {
    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Number of a pool of an environment: rises by one for each pool, never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_names_follow_the_rule() {
        for good in ["a", "shop", "shop-2", &"a".repeat(40)] {
            assert!(good.parse::<EnvironmentName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "2shop",
            "-a",
            "Shop",
            "a_b",
            "a/b",
            "a b",
            "ä",
            &"a".repeat(41),
        ] {
            assert!(bad.parse::<EnvironmentName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stored_name_is_checked_again_when_it_is_read() {
        assert!(serde_json::from_str::<EnvironmentName>("\"../x\"").is_err());
        assert!(serde_json::from_str::<ReleaseId>("\"abc\"").is_err());
    }
}
