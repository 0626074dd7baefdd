//! The names of commands: those that are not built yet, and the nearest one to a misspelt name.

/// Commands of the STRATUS contract that this version does not have.
pub const NOT_BUILT: [&str; 7] = [
    "autoscaling.disable",
    "autoscaling.enable",
    "autoscaling.set",
    "autoscaling.status",
    "events",
    "logs",
    "top",
];

/// The known name that is nearest to `name`, if one is near: the only one that ends with it, or one of few other letters.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.collect();
    let ends = |known: &&&str| {
        known
            .strip_suffix(name)
            .is_some_and(|group| group.ends_with('.'))
    };
    let mut ending = known.iter().filter(ends);
    if let (Some(only), None) = (ending.next(), ending.next()) {
        return Some(only);
    }
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= known.len().max(name.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_command_and_nonsense_finds_none() {
        let known = ["zerodowntime.init", "zerodowntime.switch", "status"];
        assert_eq!(
            nearest("zerdowntime.switch", known.into_iter()),
            Some("zerodowntime.switch")
        );
        assert_eq!(nearest("stauts", known.into_iter()), Some("status"));
        assert_eq!(
            nearest("switch", known.into_iter()),
            Some("zerodowntime.switch")
        );
        let several = ["crons.stop", "crons.run", "shop.stop"];
        assert_eq!(nearest("stop", several.into_iter()), None);
        assert_eq!(nearest("frobnicate", known.into_iter()), None);
    }
}
