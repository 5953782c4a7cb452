//! A reference program's hidden states for one question, as `tests/oracle/dump.py` writes them, beside ours.
//!
//! The file is safetensors. Tensors: `picture` (u8, the file's bytes), `prompt_ids` (i64, -200 where the picture
//! stands), `pixels` (f32), `tower.{n}`, `tower`, `projector`, `decoder.{n}`, `logits` (f32, f16 or bf16), named as
//! [`crate::runner::VilaModel::trace`] names them; a name may be missing. Metadata: `format` "1", `question`, `dtype`, and
//! the versions of what made it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::SafeTensors;

use crate::parity::{ParityError, distance, floats, values};
use crate::picture;
use crate::request::{EncodedPicture, GenerationLimits, PromptPart, Request, Script};
use crate::runner::{Dtype, VilaAdapter};
use crate::tokenizer::PromptToken;

/// The id that stands for a picture.
const PICTURE: i64 = -200;

/// A dump in memory.
pub struct Dump {
    path: PathBuf,
    bytes: Vec<u8>,
    question: String,
    /// What the reference computed in.
    pub dtype: Dtype,
}

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name in the dump.
    pub name: String,
    /// The largest distance.
    pub distance: f32,
    /// The largest distance that rounding explains.
    pub allowed: f32,
}

impl Step {
    /// Whether rounding explains the distance.
    pub fn agrees(&self) -> bool {
        self.distance <= self.allowed
    }
}

/// All steps, in the order in which they are computed.
#[derive(Debug, Clone, PartialEq)]
pub struct DumpReport {
    /// The steps.
    pub steps: Vec<Step>,
}

impl DumpReport {
    /// The first place where the two part.
    pub fn first_parting(&self) -> Option<&Step> {
        self.steps.iter().find(|step| !step.agrees())
    }
}

impl Dump {
    /// Reads a dump.
    ///
    /// # Errors
    ///
    /// A file that is none, or of another version.
    pub fn read(path: &Path) -> Result<Self, ParityError> {
        let fault = |what: &dyn std::fmt::Display| ParityError(format!("`{}`: {what}", path.display()));
        let bytes = fs::read(path).map_err(|error| fault(&error))?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| fault(&error))?;
        let keys = header.metadata().clone().unwrap_or_default();
        if keys.get("format").map(String::as_str) != Some("1") {
            return Err(fault(
                &"is no parity dump of format 1; make it with `tests/oracle/dump.py`",
            ));
        }
        let dtype = match keys.get("dtype").map(String::as_str) {
            Some("float32") => Dtype::Float32,
            Some("float16") => Dtype::Float16,
            Some("bfloat16") => Dtype::BFloat16,
            other => return Err(fault(&format!("`dtype` is {other:?}"))),
        };
        Ok(Self {
            path: path.to_owned(),
            question: keys.get("question").cloned().unwrap_or_default(),
            dtype,
            bytes,
        })
    }

    /// Asks `adapter` the dump's question and compares: pixels and prompt ids exactly, then every hidden state, computed
    /// from the dump's own pixels and ids, so that one difference is not counted twice.
    ///
    /// # Errors
    ///
    /// A dump that does not fit the checkpoint, or a failure of libtorch's.
    pub fn compare(&self, adapter: &mut VilaAdapter) -> Result<DumpReport, ParityError> {
        let file = SafeTensors::deserialize(&self.bytes).map_err(|error| self.fault(&error))?;
        let tensor = |name: &str| {
            file.tensor(name)
                .map_err(|error| self.fault(&format!("`{name}`: {error}")))
        };
        let picture = tensor("picture")?.data().to_vec();
        let pixels = floats(&tensor("pixels")?).ok_or_else(|| self.fault(&"`pixels` are no floats"))?;
        let ids = integers(tensor("prompt_ids")?.data());
        let prompt: Vec<PromptToken> = ids
            .iter()
            .map(|id| u32::try_from(*id).map_or(PromptToken::Picture(0), PromptToken::Text))
            .collect();

        let decoded = picture::decode(&picture).map_err(|error| self.fault(&error))?;
        let ours = adapter.pixels_of(&decoded).map_err(|error| self.fault(&error))?;
        let mut steps = vec![exact("pixels", distance(&ours, &pixels))];
        let ours = adapter
            .prompt_tokens(&self.request())
            .map_err(|error| self.fault(&error))?;
        let ours: Vec<f32> = ours.iter().map(number).collect();
        let theirs: Vec<f32> = prompt.iter().map(number).collect();
        steps.push(exact("prompt_ids", distance(&ours, &theirs)));

        let seen = adapter
            .model()
            .trace(&prompt, &[pixels])
            .map_err(|error| self.fault(&error))?;
        for (name, ours) in &seen {
            let Some(theirs) = file.tensor(name).ok().and_then(|theirs| floats(&theirs)) else {
                continue;
            };
            let greatest = theirs
                .iter()
                .fold(0.0, |greatest: f32, value| greatest.max(value.abs()));
            steps.push(Step {
                name: name.clone(),
                distance: distance(&values(ours)?, &theirs),
                allowed: greatest * self.allowance(),
            });
        }
        Ok(DumpReport { steps })
    }

    /// The share of the greatest value that another order of summation may cost, over all layers: some 20 units in the
    /// last place of 16-bit formats, more of float32, whose last place is small.
    const fn allowance(&self) -> f32 {
        match self.dtype {
            Dtype::Float32 => 1e-4,
            Dtype::Float16 => 1e-2,
            Dtype::BFloat16 => 8e-2,
        }
    }

    fn request(&self) -> Request {
        Request {
            id: "dump".to_owned(),
            script: Script::Short,
            prompt: vec![
                PromptPart::Picture(EncodedPicture {
                    key: "dump".into(),
                    read: Arc::new(|| Err("the pixels are given".to_owned())),
                }),
                PromptPart::Text(self.question.clone()),
            ],
            limits: GenerationLimits { max_new_tokens: 1 },
        }
    }

    fn fault(&self, what: &dyn std::fmt::Display) -> ParityError {
        ParityError(format!("`{}`: {what}", self.path.display()))
    }
}

fn exact(name: &str, distance: f32) -> Step {
    Step {
        name: name.to_owned(),
        distance,
        allowed: 0.0,
    }
}

/// Ids up to 2²⁴ are exact in f32, and vocabularies are smaller.
fn number(token: &PromptToken) -> f32 {
    match token {
        PromptToken::Text(id) => *id as f32,
        PromptToken::Picture(_) => PICTURE as f32,
    }
}

fn integers(bytes: &[u8]) -> Vec<i64> {
    let (values, _) = bytes.as_chunks::<8>();
    values.iter().map(|value| i64::from_le_bytes(*value)).collect()
}
