//! Names that the operator gives to parts of an environment.

use stratus_core::EnvironmentName;

use super::section::shown;

/// A name by the rule for environments: what stands in the names of containers and in commands.
pub(super) fn parse(text: &str) -> Result<String, String> {
    text.parse::<EnvironmentName>()
        .map(|name| name.to_string())
        .map_err(|_| {
            format!(
                "`{}` is not a name; use a lower case letter, then lower case letters, digits and hyphens, 40 at most",
                shown(text)
            )
        })
}
