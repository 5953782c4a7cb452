//! The strict comparison of the tensors a configuration asks for with those the files hold: nothing missing,
//! nothing over, every shape right; all faults together in one line (`checkpoints.md` sections 3.4 and 11).

use std::collections::BTreeMap;
use std::path::Path;

use crate::checkpoint::error::{CheckpointError, quoted};
use crate::checkpoint::expected::{Expected, Need};
use crate::checkpoint::tensors::{Dtype, Entry, Module};
use crate::checkpoint::weights::Weights;

/// Names that one message lists at most.
const LISTED: usize = 20;

/// Ends of the names of tensors that 2023's files hold and nothing reads.
const IGNORED: [&str; 3] = [".rotary_emb.inv_freq", ".embeddings.position_ids", ".masked_bias"];

/// What does not fit, gathered over all modules of a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    missing: Vec<String>,
    unexpected: Vec<String>,
    misshapen: Vec<String>,
    mistyped: Vec<String>,
}

impl Comparison {
    /// Moves what `expected` asks for from `weights` to a module. `place` is the sub-folder with a slash, or empty.
    pub fn claim(&mut self, weights: &mut Weights, place: &str, expected: Vec<Expected>) -> Module {
        let mut entries = BTreeMap::new();
        for Expected {
            canonical,
            stored: name,
            shape,
            need,
        } in expected
        {
            let Some(stored) = weights.tensors.remove(&name) else {
                if need == Need::Required {
                    self.missing.push(quoted(&format!("{place}{name}")));
                }
                continue;
            };
            if stored.shape != shape {
                let name = quoted(&format!("{place}{name}"));
                let found = quoted(&format!("{:?}", stored.shape));
                self.misshapen.push(format!("{name} is {found} instead of `{shape:?}`"));
                continue;
            }
            let Some(dtype) = dtype(stored.dtype) else {
                let name = quoted(&format!("{place}{name}"));
                self.mistyped.push(format!("{name} is {}", stored.dtype));
                continue;
            };
            let used = need == Need::Required;
            entries.insert(
                canonical,
                Entry {
                    name,
                    dtype,
                    shape,
                    range: stored.range,
                    file: stored.file,
                    used,
                },
            );
        }
        Module::new(&weights.folder, entries)
    }

    /// Notes what no module has claimed.
    pub fn leave(&mut self, weights: &Weights, place: &str) {
        let left = weights
            .tensors
            .keys()
            .filter(|name| !IGNORED.iter().any(|end| name.ends_with(end)));
        self.unexpected
            .extend(left.map(|name| quoted(&format!("{place}{name}"))));
    }

    /// The one error about the checkpoint in `folder`, if anything does not fit.
    pub fn finish(self, folder: &Path) -> Result<(), CheckpointError> {
        let kinds = [
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("wrong shape", self.misshapen),
            ("wrong type (float32, float16 and bfloat16 are known)", self.mistyped),
        ];
        let total: usize = kinds.iter().map(|(_, names)| names.len()).sum();
        if total == 0 {
            return Ok(());
        }
        let mut room = LISTED;
        let mut parts = Vec::new();
        for (kind, names) in &kinds {
            let listed = names.get(..room.min(names.len())).unwrap_or_default();
            if !listed.is_empty() {
                parts.push(format!("{kind}: {}", listed.join(", ")));
            }
            room -= listed.len();
        }
        if total > LISTED {
            parts.push(format!("and {} more", total - LISTED));
        }
        let what = format!("its tensors do not fit its configuration: {}", parts.join("; "));
        Err(CheckpointError::file(folder, what))
    }
}

fn dtype(stored: safetensors::Dtype) -> Option<Dtype> {
    match stored {
        safetensors::Dtype::F16 => Some(Dtype::F16),
        safetensors::Dtype::BF16 => Some(Dtype::Bf16),
        safetensors::Dtype::F32 => Some(Dtype::F32),
        _ => None,
    }
}
