//! The configuration of one member: the FPM file, the `php.ini` part, and the script that names the generation.
//!
//! What is ours alone stands in the FPM file; what the operator may set stands in a `php.ini` part that PHP reads after
//! the image's own, so that it means there what it means in any `php.ini` (constants, `OPcache`'s memory, extensions).

use std::collections::BTreeMap;

use stratus_core::Pool;
use stratus_core::environment::{CodeAccess, Sessions};
use stratus_core::pool::{GENERATION_HEADER, PING_PATH, STATUS_PATH};

use super::ini::{self, IniError};
use super::sessions::{self, SessionsError};

/// Where members see their configuration.
pub const CONF: &str = "/stratus/conf";
/// Where members see the folder of their sockets.
pub const SOCK: &str = "/stratus/sock";
/// Where members see PHP's file sessions.
pub const SESSIONS: &str = "/stratus/sessions";
/// Where members keep uploads until the application moves them: on disk, since memory is bounded.
pub const TMP: &str = "/stratus/tmp";
/// Folder of the `php.ini` part under [`CONF`].
pub const INI_FOLDER: &str = "ini";
/// Where members see the script that resets `OPcache`. nginx runs scripts of the docroot only.
pub const OPCACHE_RESET: &str = "/stratus/conf/opcache.php";
/// Connections that wait while every worker is busy. Past it, the kernel refuses.
pub const BACKLOG: u32 = 4096;
/// How long FPM lets a request run after SIGQUIT. The engine's own grace period is shorter and decides.
const PROCESS_CONTROL_SECONDS: u32 = 300;

/// A specification that cannot be written as configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A `php.ini` setting.
    #[error(transparent)]
    Ini(#[from] IniError),
    /// Where sessions are kept.
    #[error(transparent)]
    Sessions(#[from] SessionsError),
    /// An environment variable's name.
    #[error("php.env key {0:?} is no name of a variable; use letters, digits and underscores")]
    Name(String),
    /// An environment variable's value.
    #[error("the value of php.env key {0:?} has a NUL byte; leave it out")]
    Value(String),
}

/// The FPM file of member `index`.
///
/// Values of environment variables are not in it: FPM would read a leading `$` as the name of another variable. They are
/// in the container's environment, and FPM is told to hand them on by name.
///
/// # Errors
/// When a variable's name or value cannot be handed on.
pub fn fpm(pool: &Pool, index: u16) -> Result<String, ConfigError> {
    let generation = pool.id.generation;
    let mut text = format!(
        "; Written by Stratus for {}. Changes are lost.\n\
         [global]\n\
         daemonize = no\n\
         error_log = /proc/self/fd/2\n\
         log_limit = 8192\n\
         process_control_timeout = {PROCESS_CONTROL_SECONDS}s\n\
         \n\
         [{}]\n\
         listen = {SOCK}/{index}.sock\n\
         listen.mode = 0666\n\
         listen.backlog = {BACKLOG}\n\
         pm = static\n\
         pm.max_children = {}\n\
         pm.status_path = {STATUS_PATH}\n\
         ping.path = {PING_PATH}\n\
         ping.response = {generation}\n\
         catch_workers_output = yes\n\
         decorate_workers_output = no\n\
         security.limit_extensions = .php\n\
         php_admin_value[cgi.fix_pathinfo] = 0\n\
         clear_env = yes\n",
        pool.id, pool.id, pool.php.workers
    );
    for (name, value) in &pool.php.env {
        check_variable(name, value.expose())?;
        text.extend(["env[", name, "] = $", name, "\n"]);
    }
    Ok(text)
}

/// The `php.ini` part: defaults that fit a pool, then what the operator set.
///
/// # Errors
/// When a setting cannot be written.
pub fn php_ini(pool: &Pool) -> Result<String, ConfigError> {
    let mut settings: BTreeMap<&str, String> = defaults(pool).into_iter().collect();
    if let Sessions::Redis(url) = &pool.sessions {
        settings.insert("session.save_handler", "redis".to_owned());
        settings.insert("session.save_path", sessions::save_path(url.expose())?);
    }
    for (key, value) in &pool.php.ini {
        settings.insert(key, value.clone());
    }
    // Ours comes first and requires the operator's; see `prepend`.
    settings.insert("auto_prepend_file", format!("{CONF}/prepend.php"));
    if let Some(allowed) = settings.get_mut("open_basedir").filter(|a| !a.is_empty()) {
        allowed.extend([CONF, SESSIONS, TMP].map(|ours| format!(":{ours}/")));
    }
    let mut text = format!("; Written by Stratus for {}. Changes are lost.\n", pool.id);
    for (key, value) in &settings {
        text.push_str(&ini::line(key, value)?);
    }
    Ok(text)
}

/// What a pool needs unless the operator says otherwise.
fn defaults(pool: &Pool) -> Vec<(&'static str, String)> {
    // A shared folder or an overlay may hold scripts that change while the pool runs; nothing else can.
    let frozen = pool.code_access == CodeAccess::Immutable && pool.shared.is_empty();
    let mut settings = vec![
        ("opcache.enable", "1".to_owned()),
        ("opcache.validate_timestamps", u8::from(!frozen).to_string()),
        ("opcache.revalidate_freq", "0".to_owned()),
        ("session.save_handler", "files".to_owned()),
        ("session.save_path", SESSIONS.to_owned()),
        // Debian leaves this to a cron job, which does not know our folder.
        ("session.gc_probability", "1".to_owned()),
        ("session.gc_divisor", "1000".to_owned()),
        ("upload_tmp_dir", TMP.to_owned()),
    ];
    if pool.upload_limit > 0 {
        settings.push(("post_max_size", pool.upload_limit.to_string()));
        settings.push(("upload_max_filesize", pool.upload_limit.to_string()));
    }
    settings
}

/// The script that runs before every other: it names the generation in a header, and requires the operator's own.
///
/// # Errors
/// When the operator's path cannot be written.
pub fn prepend(pool: &Pool) -> Result<String, ConfigError> {
    let generation = pool.id.generation;
    let mut text = format!(
        "<?php\n// Written by Stratus for {}. Changes are lost.\n\
         header('{GENERATION_HEADER}: {generation}');\n",
        pool.id
    );
    // The operator's script may do anything, and ours is to answer one word.
    text.extend([
        "if ($_SERVER['SCRIPT_FILENAME'] === '",
        OPCACHE_RESET,
        "') { return; }\n",
    ]);
    if let Some(own) = pool
        .php
        .ini
        .get("auto_prepend_file")
        .filter(|own| !matches!(own.as_str(), "" | "none"))
    {
        let literal = ini::php_literal("auto_prepend_file", own)?;
        text.extend(["require ", &literal, ";\n"]);
    }
    Ok(text)
}

/// The script that resets `OPcache` and says `reset`, `off` where there is none, or `refused`.
pub fn opcache_reset() -> &'static str {
    "<?php
// Written by Stratus. Changes are lost.
header('Content-Type: text/plain');
$status = function_exists('opcache_get_status') ? @opcache_get_status(false) : false;
if (!extension_loaded('Zend OPcache') || !ini_get('opcache.enable')) {
    echo 'off';
} elseif ($status && ($status['restart_pending'] || $status['restart_in_progress'])) {
    echo 'reset';
} elseif (function_exists('opcache_reset') && @opcache_reset()) {
    echo 'reset';
} else {
    echo 'refused';
}
"
}

fn check_variable(name: &str, value: &str) -> Result<(), ConfigError> {
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !named {
        return Err(ConfigError::Name(name.to_owned()));
    }
    if value.contains('\0') {
        return Err(ConfigError::Value(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fpm::sample;

    #[test]
    fn the_fpm_file_of_a_member() {
        let mut pool = sample::pool();
        pool.php.env.insert("APP_ENV".into(), "production".into());
        insta::assert_snapshot!(fpm(&pool, 1).unwrap());
    }

    #[test]
    fn the_ini_part_keeps_what_the_operator_set() {
        let mut pool = sample::pool();
        for (key, value) in [
            ("memory_limit", "512M"),
            ("session.save_path", "tcp://redis:6379"),
            ("open_basedir", "/var/www/html"),
            ("auto_prepend_file", "/var/www/html/own.php"),
        ] {
            pool.php.ini.insert(key.into(), value.into());
        }
        insta::assert_snapshot!(php_ini(&pool).unwrap());
        insta::assert_snapshot!(prepend(&pool).unwrap());
    }

    #[test]
    fn scripts_in_shared_folders_are_seen_when_they_change() {
        let mut pool = sample::pool();
        assert!(php_ini(&pool).unwrap().contains("validate_timestamps = 0"));
        pool.shared.push("conf".into());
        assert!(php_ini(&pool).unwrap().contains("validate_timestamps = 1"));
    }

    #[test]
    fn a_value_of_the_environment_never_reaches_the_fpm_file() {
        let mut pool = sample::pool();
        let hostile = "$PATH\nuser = root";
        pool.php.env.insert("A".into(), hostile.into());
        let text = fpm(&pool, 0).unwrap();
        assert!(text.contains("env[A] = $A\n"), "{text}");
        assert!(!text.contains("root"), "{text}");
    }

    #[test]
    fn a_variable_that_is_no_name_is_refused() {
        for name in ["", "1A", "A B", "A]\nuser=root", "Ä"] {
            let mut pool = sample::pool();
            pool.php.env.insert(name.into(), "x".into());
            assert_eq!(fpm(&pool, 0), Err(ConfigError::Name(name.to_owned())));
        }
    }
}
