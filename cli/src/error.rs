//! Why a command failed: what happened, what caused it, and what to do about it.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use stratus_proto::v1::Operation;

/// What kind of failure it is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The words are wrong: exit 2.
    Usage,
    /// Everything else: exit 1.
    Failed,
}

/// What a user is told when a command fails.
#[derive(Debug)]
pub struct CliError {
    /// What kind of failure it is.
    kind: Kind,
    /// What happened; further lines are details.
    message: String,
    /// What caused it, if that is an error of its own.
    source: Option<Box<dyn Error + Send + Sync>>,
    /// What to do, one clause each.
    hints: Vec<String>,
    /// The object that `--json` shows; the failure is put into its field `error`.
    report: Option<Value>,
    /// The object has been printed already.
    shown: bool,
}

// === impl CliError ===

impl CliError {
    /// A failure while doing what was asked.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Wrong words.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A command that nobody knows.
    pub fn unknown_command(name: &str, nearest: Option<&str>) -> Self {
        let error = Self::usage(format!("there is no command {name:?}"));
        match nearest {
            Some(nearest) => error.hint(format!("did you mean {nearest}?")),
            None => error.hint("run stratus help for a list"),
        }
    }

    /// A command that this version does not have.
    pub fn not_built(name: &str) -> Self {
        Self::failed(format!(
            "{name} is not built yet in this version of stratus, nothing was done"
        ))
        .hint("run stratus help for the commands that are")
    }

    /// The answer could not be delivered.
    pub fn output(what: &str, source: std::io::Error) -> Self {
        Self::failed(format!("cannot {what}")).caused_by(source)
    }

    /// The server's socket does not take a connection.
    pub fn connect(path: &Path, source: &std::io::Error) -> Self {
        let path = path.display();
        match source.kind() {
            std::io::ErrorKind::NotFound => Self::failed(format!(
                "the server is not running: there is no socket {path}"
            ))
            .hint("start it with: systemctl start stratusd")
            .hint("or name its socket with --server"),
            std::io::ErrorKind::ConnectionRefused => Self::failed(format!(
                "the server is not running: nobody listens on {path}"
            ))
            .hint("start it with: systemctl start stratusd"),
            std::io::ErrorKind::PermissionDenied => {
                Self::failed(format!("permission denied on the server's socket {path}"))
                    .hint("run this as root or as a member of the socket's group")
            }
            _ => Self::failed(format!("cannot connect to the server at {path}: {source}"))
                .hint("see what it says with: systemctl status stratusd"),
        }
    }

    /// The server did not come back in time.
    pub fn lost(operation: &str, limit: std::time::Duration) -> Self {
        Self::failed(format!(
            "the server did not come back within {}, operation {operation} goes on when it does",
            humantime::format_duration(limit)
        ))
        .hint("start it with: systemctl start stratusd")
        .hint(format!(
            "then follow the operation with: stratus operations.watch {operation}"
        ))
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
            hints: Vec::new(),
            report: None,
            shown: false,
        }
    }

    /// Adds something to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Adds the object that `--json` shows.
    #[must_use]
    pub fn report(mut self, report: Value) -> Self {
        self.report = Some(report);
        self
    }

    /// Adds an operation as the object that `--json` shows.
    #[must_use]
    pub fn operation(self, operation: &Operation) -> Self {
        let report = serde_json::to_value(operation).unwrap_or_default();
        self.report(report)
    }

    /// Says that the object has been printed.
    #[must_use]
    pub fn shown(mut self) -> Self {
        self.shown = true;
        self
    }

    /// Whether the object has been printed.
    pub fn is_shown(&self) -> bool {
        self.shown
    }

    /// The exit code: 1, or 2 for wrong usage.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Usage => 2,
            Kind::Failed => 1,
        }
    }

    /// The one line that scripts look for: `ERROR: Error: what happened: causes; what to do`.
    pub fn line(&self) -> String {
        let mut line = String::from("ERROR: Error: ");
        line.push_str(self.message.lines().next().unwrap_or_default());
        let mut cause = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = cause {
            let _ = write!(line, ": {error}");
            cause = error.source();
        }
        for hint in &self.hints {
            let _ = write!(line, "; {hint}");
        }
        line
    }

    /// The further lines of the message: an answer's body, a container's last words.
    pub fn details(&self) -> impl Iterator<Item = &str> {
        self.message.lines().skip(1)
    }

    /// The object of `--json`, with the failure in it.
    pub fn object(&self) -> Value {
        let mut object = self.report.clone().unwrap_or_else(|| serde_json::json!({}));
        let mut error = self.line();
        for detail in self.details() {
            error.push('\n');
            error.push_str(detail);
        }
        object["error"] = Value::String(error);
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_holds_causes_and_hints_and_no_details() {
        let error = CliError::failed("it broke\nbody")
            .caused_by(std::io::Error::other("disk"))
            .hint("mend it");
        assert_eq!(error.line(), "ERROR: Error: it broke: disk; mend it");
        assert_eq!(error.details().collect::<Vec<_>>(), ["body"]);
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn the_object_keeps_its_report_and_gains_the_failure() {
        let error =
            CliError::usage("no").report(serde_json::json!({"operation": "a", "error": "b"}));
        assert_eq!(
            error.object(),
            serde_json::json!({"operation": "a", "error": "ERROR: Error: no"})
        );
        assert_eq!(error.exit_code(), 2);
    }
}
