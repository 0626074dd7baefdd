//! `database.config`: the credentials of the database, as deploy scripts read them.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use stratus_proto::v1::{DatabaseReply, DatabaseRequest};

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::session::Session;

/// Print the credentials of the database
///
/// One line that existing deploy scripts read, by JSON or by counting words. For a script of your own, --json or --field
/// is simpler.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus database.config --field password")]
pub struct Config {
    /// Print this one value and nothing else
    #[arg(long, value_enum)]
    field: Option<Field>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Field {
    Host,
    Port,
    Name,
    User,
    Password,
}

impl Config {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = DatabaseRequest {
            environment: session.environment(),
        };
        let client = session.connect().await?;
        let database = answer(ANSWER_LIMIT, client.environments().database(request)).await?;
        match self.field {
            // Exactly as they are: a credential that was made fit for a terminal is a wrong one.
            Some(field) => session.out.raw(&format!("{}\n", value(&database, field))),
            None if session.globals.json => session.out.json(&database),
            None => session.out.raw(&format!("{}\n", line(&database))),
        }
        Ok(())
    }
}

fn value(database: &DatabaseReply, field: Field) -> String {
    match field {
        Field::Host => database.host.clone(),
        Field::Port => database.port.to_string(),
        Field::Name => database.name.clone(),
        Field::User => database.user.clone(),
        Field::Password => database.password.clone(),
    }
}

/// The line. Both kinds of parser in the field count on its keys, its spaces and its quotes; the keys in between are free.
fn line(database: &DatabaseReply) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let result = format!(
        "Result: {{\"Username\": {}, \"Host\": {}, \"Name\": {}, \"Port\": {}, \"CreatedAt\": \"1970-01-01 00:00:00\", \"Password\": {}, \"Engine\": \"mysql\"}}",
        text(&database.user),
        text(&database.host),
        text(&database.name),
        database.port,
        text(&database.password),
    );
    json!({"args": [result], "level": "info"}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> DatabaseReply {
        DatabaseReply {
            host: "mysql".into(),
            port: 3306,
            name: "db_ab12".into(),
            user: "user_ab12".into(),
            password: "s3cr3t".into(),
        }
    }

    #[test]
    fn the_line_is_the_one_that_scripts_know() {
        let expected = r#"{"args":["Result: {\"Username\": \"user_ab12\", \"Host\": \"mysql\", \"Name\": \"db_ab12\", \"Port\": 3306, \"CreatedAt\": \"1970-01-01 00:00:00\", \"Password\": \"s3cr3t\", \"Engine\": \"mysql\"}"],"level":"info"}"#;
        assert_eq!(line(&database()), expected);
    }

    #[test]
    fn counting_words_finds_user_name_and_password() {
        let line = line(&database());
        let words: Vec<&str> = line.split_whitespace().collect();
        let cut = |number: usize| {
            let word = words[number - 1];
            &word[2..word.len() - 3]
        };
        assert_eq!(
            (cut(3), cut(7), cut(14)),
            ("user_ab12", "db_ab12", "s3cr3t")
        );
    }

    #[test]
    fn a_json_parser_finds_them_though_the_password_is_odd() {
        let odd = DatabaseReply {
            password: "a\"b \\c".into(),
            ..database()
        };
        let outer: Value = serde_json::from_str(&line(&odd)).unwrap();
        let result = outer["args"][0].as_str().unwrap();
        let inner: Value = serde_json::from_str(result.strip_prefix("Result:").unwrap()).unwrap();
        assert_eq!(inner["Username"], "user_ab12");
        assert_eq!(inner["Name"], "db_ab12");
        assert_eq!(inner["Password"], "a\"b \\c");
    }
}
