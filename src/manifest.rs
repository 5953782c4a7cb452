//! `manifest.json`: what produced a run. Its identity must not change under one folder; its segments record what
//! may. See `results/FORMATS.md` for every field.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use benchmarks::SourceFile;
use model_adapters::Report;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::picture_hashes::PictureDigest;
use crate::plan::Shard;
use crate::results::FORMAT;

/// What produced a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this document and of the journal beside it.
    pub format: u32,
    /// What a run is: any other value of any entry is another run.
    pub identity: BTreeMap<String, String>,
    /// The model as it was named.
    pub model: PathBuf,
    /// The files whose hashes stand in the identity.
    pub files: Vec<FileRecord>,
    /// The data files whose hashes stand in the identity; empty in a manifest of an earlier vila-bench.
    #[serde(default)]
    pub data: Vec<DataFile>,
    /// What `--limit` draws by. Answers are greedy and draw nothing.
    #[serde(default)]
    pub seed: String,
    /// The pictures of `pictures.jsonl`; absent while a segment is under way, and where no picture was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<PictureDigest>,
    /// One entry for each time the command worked on this run.
    pub segments: Vec<Segment>,
}

/// A file that answers depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Where it lay.
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// Modification time, nanoseconds since 1970.
    pub modified: i128,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A file with questions or labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Where it lay.
    pub path: PathBuf,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

impl From<&SourceFile> for DataFile {
    fn from(file: &SourceFile) -> Self {
        Self {
            path: file.path.clone(),
            sha256: file.sha256.clone(),
        }
    }
}

/// One stretch of asking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Start, UTC.
    pub started: String,
    /// The command line.
    pub command: Vec<String>,
    /// The folder that it was typed in; empty in a manifest of an earlier vila-bench.
    #[serde(default)]
    pub directory: PathBuf,
    /// Version of vila-bench.
    pub version: String,
    /// Name of the machine.
    pub host: String,
    /// Where the model computed, threads and libraries included.
    pub machine: BTreeMap<String, String>,
    /// `--limit`.
    pub limit: Option<usize>,
    /// `--shard`, as `I/N`.
    pub shard: Option<String>,
    /// Questions asked.
    pub asked: usize,
    /// How many of them failed.
    pub failed: usize,
    /// Tokens generated.
    pub new_tokens: usize,
    /// Wall time of asking, in seconds.
    pub seconds: f64,
    /// What the adapter did and how long each part of it took; absent where it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

impl Segment {
    /// A stretch that starts now and has not asked anything yet.
    pub fn begin(
        command: Vec<String>,
        limit: Option<usize>,
        shard: Option<Shard>,
        machine: BTreeMap<String, String>,
    ) -> Self {
        Self {
            started: jiff::Timestamp::now().to_string(),
            command,
            directory: std::env::current_dir().unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: sysinfo::System::host_name().unwrap_or_default(),
            machine,
            limit,
            shard: shard.map(|shard| format!("{}/{}", shard.index, shard.count)),
            asked: 0,
            failed: 0,
            new_tokens: 0,
            seconds: 0.0,
            report: None,
        }
    }
}

impl Manifest {
    /// Reads a manifest and refuses one of another version.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let text = std::fs::read_to_string(path).map_err(|error| Fault::read(path, &error))?;
        let manifest: Self = serde_json::from_str(&text).map_err(|error| {
            Fault::User(format!(
                "`{}` is no manifest of this version: {error}; make the run anew with `run --fresh`",
                path.display()
            ))
        })?;
        if manifest.format != FORMAT {
            return Err(Fault::User(format!(
                "`{}` has format {}, this vila-bench writes {FORMAT}; make the run anew with `run --fresh` or another --out",
                path.display(),
                manifest.format
            )));
        }
        Ok(manifest)
    }

    /// Refuses an identity that is not this one, naming what changed.
    pub fn require(&self, identity: &BTreeMap<String, String>, path: &Path) -> Result<(), Fault> {
        let names: std::collections::BTreeSet<&String> = self.identity.keys().chain(identity.keys()).collect();
        let changes: Vec<String> = names
            .into_iter()
            .filter(|name| self.identity.get(*name) != identity.get(*name))
            .map(|name| {
                format!(
                    "{name} was {}, is {}",
                    shown(self.identity.get(name)),
                    shown(identity.get(name))
                )
            })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        Err(Fault::User(format!(
            "`{}` belongs to another run: {}; use --fresh to start anew or another --out",
            path.display(),
            changes.join("; ")
        )))
    }
}

/// A hash is shown by its first digits.
fn shown(value: Option<&String>) -> String {
    match value {
        None => "absent".to_owned(),
        Some(value) if value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            value.chars().take(12).collect()
        }
        Some(value) => format!("`{value}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(entries: &[(&str, &str)]) -> Manifest {
        Manifest {
            format: FORMAT,
            identity: entries
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            model: PathBuf::from("tiny"),
            files: Vec::new(),
            data: Vec::new(),
            seed: String::new(),
            pictures: None,
            segments: Vec::new(),
        }
    }

    #[test]
    fn what_changed_is_named() {
        let old = manifest(&[
            ("dtype", "float32"),
            ("prompt-style", "paper"),
            ("weights", &"ab".repeat(32)),
        ]);
        let new = manifest(&[
            ("dtype", "float16"),
            ("prompt-style", "paper"),
            ("weights", &"cd".repeat(32)),
        ]);
        assert!(old.require(&old.identity, Path::new("m")).is_ok());
        let error = old
            .require(&new.identity, Path::new("runs/m/manifest.json"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "`runs/m/manifest.json` belongs to another run: dtype was `float32`, is `float16`; weights was \
             abababababab, is cdcdcdcdcdcd; use --fresh to start anew or another --out"
        );
    }
}
