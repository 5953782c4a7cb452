//! The strict comparison of the tensors a configuration asks for with those the files hold: nothing missing,
//! nothing over, every shape right; all faults together in one line (`checkpoints.md` sections 3.4 and 11).

use std::path::Path;

use crate::checkpoint::awq::{Packing, StoredQuantised};
use crate::checkpoint::error::{CheckpointError, quoted};
use crate::checkpoint::expected::{Expected, Need};
use crate::checkpoint::mapped::Stored;
use crate::checkpoint::tensors::{Dtype, Entry, Module};
use crate::checkpoint::weights::Weights;

/// Names that one message lists at most.
const LISTED: usize = 20;

/// What to do about tensors that are not as the configuration has them.
const REMEDY: &str = "fetch the checkpoint again, files and configuration together";

/// Ends of the names of tensors that 2023's files hold and nothing reads.
const IGNORED: [&str; 3] = [".rotary_emb.inv_freq", ".embeddings.position_ids", ".masked_bias"];

/// Which tensors do not fit the configuration, over all modules of a checkpoint; names in backticks, as the files have
/// them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fit {
    /// Required and absent.
    pub missing: Vec<String>,
    /// Present, and known neither to the tables nor to the list of what nothing reads.
    pub unexpected: Vec<String>,
    /// Of another shape than the configuration gives, with both shapes.
    pub misshapen: Vec<String>,
    /// Of a type that no weight has, with that type.
    pub mistyped: Vec<String>,
}

impl Fit {
    /// Moves what `expected` asks for from `weights` to a module. `place` is the sub-folder with a slash, or empty.
    pub(super) fn claim(&mut self, weights: &mut Weights, place: &str, expected: Vec<Expected>) -> Module {
        let mut module = Module::new(&weights.folder);
        for wanted in expected {
            if let Some(stored) = weights.tensors.remove(&wanted.stored) {
                self.claim_tensor(&mut module, place, wanted, stored);
            } else if !self.claim_quantised(&mut module, weights, place, &wanted) && wanted.need == Need::Required {
                self.missing.push(quoted(&format!("{place}{}", wanted.stored)));
            }
        }
        module
    }

    fn claim_tensor(&mut self, module: &mut Module, place: &str, wanted: Expected, stored: Stored) {
        let shown = quoted(&format!("{place}{}", wanted.stored));
        if stored.shape != wanted.shape {
            let found = quoted(&format!("{:?}", stored.shape));
            self.misshapen
                .push(format!("{shown} is {found} instead of `{:?}`", wanted.shape));
            return;
        }
        match Dtype::of(stored.dtype).filter(|dtype| dtype.is_float()) {
            Some(dtype) => {
                let used = wanted.need == Need::Required;
                module.insert(wanted.canonical, Entry::new(wanted.stored, dtype, stored, used));
            }
            None => self.mistyped.push(format!("{shown} is {}", stored.dtype)),
        }
    }

    /// The three buffers that stand for a linear's weight in an AWQ file; false where there is none of them.
    fn claim_quantised(&mut self, module: &mut Module, weights: &mut Weights, place: &str, wanted: &Expected) -> bool {
        let (Some(stem), &[outputs, inputs]) = (wanted.stored.strip_suffix(".weight"), wanted.shape.as_slice()) else {
            return false;
        };
        let names = buffers(stem, weights);
        let found = names.each_ref().map(|name| weights.tensors.remove(name));
        if found.iter().all(Option::is_none) {
            return false;
        }
        let [Some(qweight), Some(scales), Some(zeros)] = found else {
            let absent = names.iter().zip(&found).filter(|(_, found)| found.is_none());
            self.missing
                .extend(absent.map(|(name, _)| quoted(&format!("{place}{name}"))));
            return true;
        };
        match quantised([outputs, inputs], names, [qweight, scales, zeros]) {
            Ok(weight) => module.insert_quantised(wanted.canonical.clone(), weight),
            Err(found) => self
                .misshapen
                .push(format!("{} is {found}", quoted(&format!("{place}{stem}.qweight")))),
        }
        true
    }

    /// Notes what no module has claimed, apart from what begins with one of `skipped`: parts of a published file that
    /// the model does not have.
    pub(super) fn leave(&mut self, weights: &Weights, place: &str, skipped: &[&str]) {
        let left = weights
            .tensors
            .keys()
            .filter(|name| !IGNORED.iter().any(|end| name.ends_with(end)))
            .filter(|name| !skipped.iter().any(|start| name.starts_with(start)));
        self.unexpected
            .extend(left.map(|name| quoted(&format!("{place}{name}"))));
    }

    /// Whether the model can be loaded; `allow_extra` forgives what is unexpected.
    pub fn is_whole(&self, allow_extra: bool) -> bool {
        self.missing.is_empty()
            && self.misshapen.is_empty()
            && self.mistyped.is_empty()
            && (allow_extra || self.unexpected.is_empty())
    }

    /// The one error about the checkpoint in `folder`, if anything does not fit.
    pub(super) fn require(&self, folder: &Path, allow_extra: bool) -> Result<(), CheckpointError> {
        if self.is_whole(allow_extra) {
            return Ok(());
        }
        let unexpected: &[String] = if allow_extra { &[] } else { &self.unexpected };
        let kinds = [
            ("missing", self.missing.as_slice()),
            ("unexpected", unexpected),
            ("wrong shape", &self.misshapen),
            ("wrong type (float32, float16 and bfloat16 are known)", &self.mistyped),
        ];
        let total: usize = kinds.iter().map(|(_, names)| names.len()).sum();
        let mut room = LISTED;
        let mut parts = Vec::new();
        for (kind, names) in kinds {
            let listed = names.get(..room.min(names.len())).unwrap_or_default();
            if !listed.is_empty() {
                parts.push(format!("{kind}: {}", listed.join(", ")));
            }
            room -= listed.len();
        }
        if total > LISTED {
            parts.push(format!("and {} more", total - LISTED));
        }
        let only_unexpected = total == unexpected.len();
        let remedy = if only_unexpected {
            "give --allow-extra-tensors to ignore them"
        } else {
            REMEDY
        };
        parts.push(remedy.to_owned());
        let what = format!("its tensors do not fit its configuration: {}", parts.join("; "));
        Err(CheckpointError::file(folder, what))
    }
}

/// Names of a linear's quantised words, scales and zero points; which packing its file has shows in the last.
fn buffers(stem: &str, weights: &Weights) -> [String; 3] {
    let named = |part: &str| format!("{stem}.{part}");
    let [new, old] = [Packing::V2, Packing::V1].map(|packing| named(packing.zeros_name()));
    let interleaved = weights.tensors.get(&named("qweight"));
    let interleaved = interleaved.is_some_and(|words| Dtype::of(words.dtype) == Some(Dtype::I16));
    let zeros = if weights.tensors.contains_key(&new) || interleaved && !weights.tensors.contains_key(&old) {
        new
    } else {
        old
    };
    [named("qweight"), named("scales"), zeros]
}

/// The weight that these buffers hold; else, in words, what they are instead.
fn quantised(
    [outputs, inputs]: [usize; 2],
    names: [String; 3],
    stored: [Stored; 3],
) -> Result<StoredQuantised, String> {
    let shapes = stored
        .each_ref()
        .map(|stored| (Dtype::of(stored.dtype), stored.shape.as_slice()));
    let Some((packing, group)) = Packing::of(outputs, inputs, shapes) else {
        let [q, s, z] = stored.map(|stored| format!("{} {:?}", stored.dtype, stored.shape));
        return Err(format!(
            "{q} with scales {s} and zero points {z}: no packing of `{outputs} x {inputs}` in four bits, neither in groups \
             of 128 nor as AutoAWQ's"
        ));
    };
    let (word, zero) = match packing {
        Packing::V2 => (Dtype::I16, Dtype::F16),
        Packing::V1 | Packing::Gemm => (Dtype::I32, Dtype::I32),
    };
    let [q, s, z] = names;
    let [qweight, scales, zeros] = stored;
    let entry = |name, stored: Stored, dtype| Entry::new(name, dtype, stored, true);
    Ok(StoredQuantised {
        packing,
        outputs,
        inputs,
        group,
        qweight: entry(q, qweight, word),
        scales: entry(s, scales, Dtype::F16),
        zeros: entry(z, zeros, zero),
    })
}
