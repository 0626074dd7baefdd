//! Enums in JSON: the name without its prefix, in lower case (`OUTCOME_COMPLETED` is `completed`).

use serde::Serializer;

use crate::v1::{Health, Kind, Outcome, Phase};

/// `OUTCOME_COMPLETED` as `completed`.
pub fn lower(name: &str) -> String {
    name.split_once('_')
        .map_or(name, |(_, rest)| rest)
        .to_ascii_lowercase()
}

macro_rules! by_name {
    ($function:ident, $type:ty) => {
        /// Serialises the number of an enum by its name.
        pub fn $function<S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
            let value = <$type>::try_from(*value).unwrap_or_default();
            serializer.serialize_str(&lower(value.as_str_name()))
        }
    };
}

by_name!(outcome, Outcome);
by_name!(kind, Kind);
by_name!(phase, Phase);
by_name!(health, Health);
