//! Where a benchmark's data lie: `ROOT`, the benchmark's folder in it, and its pictures.

use std::path::PathBuf;

/// What the user gave.
#[derive(Debug, Clone)]
pub struct DataSource {
    /// `--data`: one folder per benchmark, or the benchmark's folder itself.
    pub root: PathBuf,
    /// `--images`: where pictures are looked for after the layout's own places.
    pub images: Option<PathBuf>,
    /// `--split`.
    pub split: Option<String>,
}
