//! Headless Chromium: opens a page from disk, does to it what a test's script says, gives back what the script found.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::command::skip;

/// Where a page that never ends loading is given up.
const PATIENCE: Duration = Duration::from_secs(180);

pub struct Browser {
    program: PathBuf,
}

impl Browser {
    /// The browser of this machine; says `skipped` where there is none.
    pub fn find(test: &str) -> Option<Self> {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let found = std::env::split_paths(&folders)
            .flat_map(|folder| names.map(|name| folder.join(name)))
            .find(|program| program.is_file());
        if found.is_none() {
            skip(test, "no chromium; install the package of that name");
        }
        found.map(|program| Self { program })
    }

    /// Opens a copy of `page` that runs `script` at its end, in a window `width` wide; the copy lies beside the page.
    /// The script leaves what it finds in `found`; `press(key)` and `set(id, value)` act as a user does.
    pub fn ask(&self, page: &Path, width: u32, arguments: &[&str], script: &str) -> serde_json::Value {
        let text = std::fs::read_to_string(page).unwrap();
        let (head, tail) = text.rsplit_once("</body>").unwrap();
        let copy = page.with_file_name("asked.html");
        std::fs::write(
            &copy,
            format!("{head}<script>{}</script></body>{tail}", wrapped(script)),
        )
        .unwrap();
        let dump = self.dump(&copy, width, arguments);
        let mark = "data-findings=\"";
        assert!(dump.contains(mark), "the script did not end: {dump:.2000}");
        let (_, rest) = dump.split_once(mark).unwrap();
        let (encoded, _) = rest.split_once('"').unwrap();
        let found: serde_json::Value = serde_json::from_slice(&STANDARD.decode(encoded).unwrap()).unwrap();
        assert_eq!(found.get("failure"), None, "{found}");
        found
    }

    /// The document after loading, as text.
    fn dump(&self, page: &Path, width: u32, arguments: &[&str]) -> String {
        let profile = tempfile::tempdir().unwrap();
        let output = profile.path().join("dump.html");
        let mut child = Command::new(&self.program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--dump-dom",
            ])
            .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
            .arg(format!("--window-size={width},900"))
            .args(arguments)
            .arg(format!("file://{}", page.display()))
            .stdout(std::fs::File::create(&output).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > PATIENCE {
                child.kill().unwrap();
            }
            assert!(start.elapsed() <= PATIENCE, "the browser did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::read_to_string(output).unwrap()
    }
}

fn wrapped(script: &str) -> String {
    format!(
        r#"
const found = {{}};
const byId = (id) => document.getElementById(id);
const set = (id, value) => {{
  byId(id).value = value;
  byId(id).dispatchEvent(new Event(id === "query" ? "input" : "change", {{ bubbles: true }}));
}};
const press = (key) => (document.activeElement ?? document.body).dispatchEvent(
  new KeyboardEvent("keydown", {{ key, bubbles: true, cancelable: true }}));
const median = (times) => times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
try {{ {script} }} catch (error) {{ found.failure = String(error.stack); }}
const bytes = new TextEncoder().encode(JSON.stringify(found));
document.documentElement.dataset.findings = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
"#
    )
}
