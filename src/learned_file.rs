//! `batching.json` beside the runs of a model: how far batches were seen to move its logits, so that the next run
//! trusts its first answers, and how many questions decode best side by side. See `results/FORMATS.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model_adapters::runner::{Learned, Spread};
use serde::{Deserialize, Serialize};

use crate::artefact;
use crate::fault::Fault;
use crate::hash::text_sha256;
use crate::results::FORMAT;

/// The file, and whose measurements are looked for in it.
#[derive(Debug)]
pub struct LearnedFile {
    path: PathBuf,
    fingerprint: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    fingerprint: String,
    spread: Spread,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
}

impl LearnedFile {
    /// In the folder that holds a model's runs. What was measured holds for the same weights, dtype and machine.
    pub fn of(folder: &Path, identity: &BTreeMap<String, String>, machine: &BTreeMap<String, String>) -> Self {
        let of_model = identity
            .iter()
            .filter(|(name, _)| name.starts_with("model/") || *name == "dtype");
        let lines: Vec<String> = of_model
            .chain(machine)
            .map(|(name, value)| format!("{name} {value}"))
            .chain([env!("CARGO_PKG_VERSION").to_owned()])
            .collect();
        Self {
            path: folder.join("batching.json"),
            fingerprint: text_sha256(&lines.join("\n")),
        }
    }

    /// What was measured; `None` where nothing was, or for another fingerprint or by another version.
    pub fn read(&self) -> Result<Option<Learned>, Fault> {
        if !self.path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&self.path).map_err(|error| Fault::read(&self.path, &error))?;
        let kept = serde_json::from_str::<Kept>(&text).ok();
        let kept = kept.filter(|kept| kept.format == FORMAT && kept.fingerprint == self.fingerprint);
        Ok(kept.map(|Kept { spread, rows, .. }| Learned { spread, rows }))
    }

    /// Replaces what was measured.
    pub fn write(&self, learned: Learned) -> Result<(), Fault> {
        let Learned { spread, rows } = learned;
        let kept = Kept {
            format: FORMAT,
            fingerprint: self.fingerprint.clone(),
            spread,
            rows,
        };
        artefact::write_json(&self.path, &kept)
    }
}
