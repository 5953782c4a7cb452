//! Runs the built command as a user does and keeps what it said.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a finished command left behind.
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub status: i32,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: output.status.code().unwrap_or(-1),
        }
    }

    /// All three, for a snapshot: `hidden` paths by name, rates and times left out.
    pub fn shown(&self, hidden: &[(&Path, &str)]) -> String {
        let mut text = format!(
            "status {}\n--- stdout\n{}--- stderr\n{}",
            self.status, self.stdout, self.stderr
        );
        for (path, name) in hidden {
            text = text.replace(&path.display().to_string(), name);
        }
        let steady = |line: &&str| {
            !line.contains("questions/s") && !line.contains("scored in") && !line.starts_with("model loaded")
        };
        text.lines().filter(steady).collect::<Vec<_>>().join("\n")
    }

    /// The one line on stderr that names the fault.
    pub fn error(&self) -> &str {
        self.stderr
            .lines()
            .find_map(|line| line.strip_prefix("error: "))
            .unwrap_or_default()
    }
}

pub fn vila_bench<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    Ran::of(&command().args(args).output().unwrap())
}

pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vila-bench"));
    // Tests run side by side: more threads than cores would only wait for each other.
    command.env("OMP_NUM_THREADS", "1");
    command
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Says that a test did not run. Past the test harness, which shows captured output of failed tests only.
pub fn skip(test: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

/// LLaVA's real files, which are not part of the repository; says `skipped` where they are absent.
pub fn reference_data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("VILA_BENCH_REFERENCE_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    if folder.join("llava-eval").is_dir() {
        return Some(folder);
    }
    skip(test, &format!("no reference data at `{}`", folder.display()));
    None
}

/// Copies a folder with all below it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Answers to the demo's questions under our own ids.
pub fn demo_answers(change: impl Fn(usize, &str) -> Vec<String>) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::with_suffix(".jsonl").unwrap();
    let mut lines = Vec::new();
    let mut n = 0;
    for category in ["random", "popular", "adversarial"] {
        let labels = fixtures().join(format!("pope-demo/pope/coco/coco_pope_{category}.json"));
        for line in std::fs::read_to_string(labels).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let picture = row
                .get("image")
                .unwrap()
                .as_str()
                .unwrap()
                .strip_suffix(".jpg")
                .unwrap();
            let text = row.get("text").unwrap().as_str().unwrap();
            let object = text
                .split_once("Is there a")
                .unwrap()
                .1
                .strip_suffix(" in the image?")
                .unwrap();
            let object = object.strip_prefix("n ").unwrap_or(object).trim();
            lines.extend(change(n, &format!("{category}/{picture}/{object}")));
            n += 1;
        }
    }
    std::fs::write(file.path(), lines.join("\n") + "\n").unwrap();
    file
}

/// One line of our own prediction format.
pub fn answer_line(id: &str, answer: &str) -> String {
    serde_json::json!({"id": id, "answer": answer}).to_string()
}
