//! Bad input: a command that must fail with a message that helps, while visitors notice nothing.

use anyhow::{Context, ensure};

use super::{Output, Place, Running};

impl Place {
    /// Replaces a piece of the configuration, which must be there.
    ///
    /// # Errors
    /// When it is not, or the file cannot be written.
    pub fn reconfigure(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(self.config())?;
        ensure!(
            text.contains(from),
            "no {from:?} in the configuration:\n{text}"
        );
        std::fs::write(self.config(), text.replace(from, to))?;
        Ok(())
    }
}

impl Output {
    /// Exit code 1, one line that begins as scripts expect, and every one of `words`.
    ///
    /// # Errors
    /// When one of them is missing.
    pub fn refuses(self, words: &[&str]) -> anyhow::Result<Self> {
        ensure!(self.code == 1, "exit code 1 was expected: {self}");
        for word in words {
            let said = self.stderr.contains(word) || self.stdout.contains(word);
            ensure!(said, "nothing about {word:?}: {self}");
        }
        Ok(self)
    }
}

impl Running {
    /// Runs a command that must fail with exit code 1 and say every one of `words`. What is live still answers, and
    /// what exists is what existed before.
    ///
    /// # Errors
    /// When one of that is not so.
    pub async fn refused(&self, arguments: &[&str], words: &[&str]) -> anyhow::Result<Output> {
        let serves = self.place.visit("/index.php").await?.generation();
        let before = self.traces().await?;
        let output = self.place.cli(arguments).await?.refuses(words)?;
        let line = "ERROR: Error: ";
        ensure!(
            output.stderr.contains(line) || output.stdout.contains(line),
            "no line for scripts: {output}"
        );
        self.left_only(&before)
            .await
            .with_context(|| output.to_string())?;
        self.serves(serves)
            .await
            .with_context(|| output.to_string())?;
        Ok(output)
    }

    /// Whether visitors are answered, and by `generation`.
    ///
    /// # Errors
    /// When they are not.
    pub async fn serves(&self, generation: Option<u32>) -> anyhow::Result<()> {
        let visit = self.place.visit("/index.php").await?;
        ensure!(
            (visit.status, visit.generation()) == (200, generation),
            "generation {generation:?} should serve: {visit:?}"
        );
        Ok(())
    }
}
