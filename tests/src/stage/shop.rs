//! A small shop for tests: a handful of PHP files whose every release says which it is.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

/// User and group of its files.
const OWNER: u32 = 1000;

const INDEX: &str = "<?php $release = require __DIR__ . '/../release.php';
header('Content-Type: text/plain');
echo \"release $release\\n\", $_SERVER['REQUEST_METHOD'], ' ', $_SERVER['REQUEST_URI'], \"\\n\";
";

const POST: &str = "<?php $release = require __DIR__ . '/../release.php';
$body = file_get_contents('php://input');
header('Content-Type: application/json');
header('X-Stratus-Body-Sha256: ' . hash('sha256', $body));
echo json_encode(['nonce' => $_SERVER['HTTP_X_STRATUS_LOAD'] ?? '', 'size' => strlen($body),
    'sha256' => hash('sha256', $body), 'release' => $release]), \"\\n\";
";

const SLOW: &str = "<?php $until = microtime(true) + min((int) ($_GET['ms'] ?? 100), 60000) / 1000;
for ($i = 0; microtime(true) < $until; $i++) { crc32((string) $i); }
echo \"burnt $i\\n\";
";

/// The working tree of a small shop.
#[derive(Debug, Clone)]
pub struct Shop {
    code: PathBuf,
}

impl Shop {
    /// Makes release 0 in `code`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn make(code: &Path) -> anyhow::Result<Self> {
        let shop = Self {
            code: code.to_owned(),
        };
        for folder in ["", "pub", "pub/media", "var"] {
            let folder = code.join(folder);
            fs::create_dir_all(&folder)?;
            chown(&folder, Some(OWNER), Some(OWNER))?;
        }
        shop.write("pub/index.php", INDEX)?;
        shop.write("pub/post.php", POST)?;
        shop.write("pub/slow.php", SLOW)?;
        shop.write(
            "pub/media/logo.svg",
            "<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n",
        )?;
        shop.release(0)?;
        Ok(shop)
    }

    /// The working tree.
    pub fn code(&self) -> &Path {
        &self.code
    }

    /// Makes the tree release `number`: what PHP says and what an asset holds.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn release(&self, number: u32) -> anyhow::Result<()> {
        self.write("release.php", &format!("<?php return {number};\n"))?;
        self.write("pub/app.css", &format!("/* release {number} */\n"))?;
        self.write(
            &format!("pub/app.{number}.css"),
            &format!("/* asset of release {number} */\n"),
        )
    }

    /// Writes a file of the tree.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let path = self.code.join(path);
        let next = path.with_extension("next");
        fs::write(&next, text)?;
        chown(&next, Some(OWNER), Some(OWNER))?;
        fs::rename(&next, &path)?;
        Ok(())
    }

    /// Its part of the configuration: two members, quick checks.
    pub fn yaml(&self, name: &str, more: &str) -> String {
        format!(
            "  {name}:\n    hosts: [{name}.example.test]\n    code: {code}\n    docroot: pub\n    shared: [pub/media, var]\n    php: {{image: 'stratus/php-fpm:8.2', fpm: php-fpm8.2, workers: 8, memory: 256m}}\n    ready: {{path: /index.php, within: 60s}}\n    drain: 30s\n{more}",
            code = self.code.display(),
        )
    }
}
