//! Real files of the published evaluations, for tests; they are no part of the repository.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The folder of the real files: `VILA_BENCH_REFERENCE_DATA`, else `../shared/data` beside the repository. `None`,
/// and a line that says so, where it is absent.
pub fn folder(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("VILA_BENCH_REFERENCE_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    skip(test, &format!("no reference data at `{}`", folder.display()));
    None
}

/// Says that a test did not run. Past the test harness, which shows captured output of failed tests only.
pub fn skip(test: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}
