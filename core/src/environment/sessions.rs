//! Where PHP keeps its sessions, as far as the configuration says: the key `sessions`, and `php.ini`, which wins.

use std::collections::BTreeMap;

use super::Sessions;

/// Redis's own port. Source: <https://www.iana.org/assignments/uri-schemes/prov/redis>.
const REDIS_PORT: u16 = 6379;

/// One database of a Redis server. Two names may stand for one server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RedisDatabase {
    /// Its server: a name in lower case, an address, or the path of a socket.
    pub host: String,
    /// TCP port; 0 for a socket.
    pub port: u16,
    /// Its number on that server.
    pub number: i64,
}

impl RedisDatabase {
    /// What a URL names; none where it names no database. Shape: `redis://[user:password@]host[:port][/database]`.
    pub fn of_url(url: &str) -> Option<Self> {
        let (_, rest) = url.split_once("://")?;
        let rest = rest.split(['?', '#']).next()?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let number = match path.trim_matches('/') {
            "" => 0,
            text => text.parse().ok().filter(|number| *number >= 0)?,
        };
        Self::of_server(authority, number)
    }

    fn of_server(authority: &str, number: i64) -> Option<Self> {
        let server = authority.rsplit_once('@').map_or(authority, |(_, s)| s);
        let (host, port) = match server.rsplit_once(':') {
            // The last colon of an address of IPv6 is inside its brackets.
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (server, ""),
        };
        let port = match port {
            "" => REDIS_PORT,
            text => text.parse().ok()?,
        };
        (!host.is_empty()).then(|| Self {
            host: host.to_ascii_lowercase(),
            port,
            number,
        })
    }

    /// One server of a `session.save_path`. Shape: `tcp://host:6379?database=2`, `unix:///run/redis.sock`.
    fn of_save_path(text: &str) -> Option<Self> {
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let database = query.split('&').rev().find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            (name == "database").then_some(value)
        });
        let digits: String = database
            .unwrap_or_default()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let number = digits.parse().unwrap_or(0);
        if let Some(path) = place.strip_prefix("unix:") {
            return Some(Self {
                host: format!("/{}", path.trim_start_matches('/')),
                port: 0,
                number,
            });
        }
        let authority = place.split_once("://").map_or(place, |(_, rest)| rest);
        Self::of_server(authority.split('/').next()?, number)
    }
}

/// The databases of Redis that hold the sessions of an environment with this key `sessions` and this `php.ini`.
pub fn session_databases(
    sessions: &Sessions,
    ini: &BTreeMap<String, String>,
) -> Vec<RedisDatabase> {
    let mut found = Vec::new();
    if let Sessions::Redis(url) = sessions {
        found.extend(RedisDatabase::of_url(url.expose()));
    }
    let handler = match (ini.get("session.save_handler"), sessions) {
        (Some(handler), _) => handler.trim().to_ascii_lowercase(),
        (None, Sessions::Redis(_)) => "redis".to_owned(),
        (None, Sessions::Files) => return found,
    };
    let path = ini.get("session.save_path").map_or("", String::as_str);
    match handler.as_str() {
        // Source: <https://github.com/phpredis/phpredis#php-session-handler>; servers are separated by commas or spaces.
        "redis" => {
            let servers = path.split(|c: char| c == ',' || c.is_whitespace());
            let servers = servers.filter(|server| !server.is_empty());
            found.extend(servers.filter_map(RedisDatabase::of_save_path));
        }
        // Source: <https://github.com/phpredis/phpredis/blob/develop/cluster.md#session-handler>; a cluster has one database.
        "rediscluster" => {
            let pairs = path.split('&').filter_map(|pair| pair.split_once('='));
            let seeds = pairs.filter(|(name, _)| name.starts_with("seed"));
            found.extend(seeds.filter_map(|(_, server)| RedisDatabase::of_server(server, 0)));
        }
        _ => {}
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(host: &str, port: u16, number: i64) -> RedisDatabase {
        RedisDatabase {
            host: host.to_owned(),
            port,
            number,
        }
    }

    fn of(sessions: &Sessions, settings: &[(&str, &str)]) -> Vec<RedisDatabase> {
        let ini = settings.iter();
        let ini = ini.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        session_databases(sessions, &ini.collect())
    }

    #[test]
    fn a_url_names_a_server_and_a_number() {
        for (url, expected) in [
            ("redis://Redis", Some(database("redis", 6379, 0))),
            ("rediss://u:p@r:6380/2", Some(database("r", 6380, 2))),
            ("redis://:a@b@r/", Some(database("r", 6379, 0))),
            ("redis://[::1]:7/1?x", Some(database("[::1]", 7, 1))),
            ("redis://[::1]", Some(database("[::1]", 6379, 0))),
            ("redis://r/x", None),
            ("redis://r/-1", None),
            ("redis://", None),
            ("r:1", None),
        ] {
            assert_eq!(RedisDatabase::of_url(url), expected, "{url}");
        }
    }

    #[test]
    fn php_ini_is_read_as_the_extension_reads_it() {
        for (path, expected) in [
            ("tcp://redis:6379", vec![database("redis", 6379, 0)]),
            ("redis", vec![database("redis", 6379, 0)]),
            (
                "tls://a?weight=1&database=3, tcp://B:1?auth=x",
                vec![database("a", 6379, 3), database("b", 1, 0)],
            ),
            (
                "unix:///run/redis.sock?database=1",
                vec![database("/run/redis.sock", 0, 1)],
            ),
            ("", vec![]),
        ] {
            let settings = [
                ("session.save_handler", "Redis"),
                ("session.save_path", path),
            ];
            assert_eq!(of(&Sessions::Files, &settings), expected, "{path}");
        }
        let cluster = [
            ("session.save_handler", "rediscluster"),
            ("session.save_path", "seed[]=a:7000&seed[]=b:7001&timeout=2"),
        ];
        let nodes = vec![database("a", 7000, 0), database("b", 7001, 0)];
        assert_eq!(of(&Sessions::Files, &cluster), nodes);
    }

    #[test]
    fn both_places_count_and_files_are_no_database() {
        let redis = Sessions::Redis("redis://r/1".into());
        let moved = [("session.save_path", "tcp://s?database=2")];
        let both = vec![database("r", 6379, 1), database("s", 6379, 2)];
        assert_eq!(of(&redis, &moved), both);
        assert_eq!(of(&redis, &[]), both[..1]);
        assert_eq!(
            of(&Sessions::Files, &moved),
            vec![],
            "a folder of that name"
        );
        let files = [("session.save_handler", "files")];
        assert_eq!(of(&Sessions::Files, &files), vec![]);
    }
}
