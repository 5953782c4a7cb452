//! The shipped check: a tiny checkpoint with what the reference programs made of it
//! (`tests/fixtures/checkpoints/README.md` describes the files).

use std::fs;
use std::path::Path;
use std::sync::Arc;

use safetensors::SafeTensors;
use serde::Deserialize;

use crate::checkpoint::Checkpoint;
use crate::parity::{ParityError, distance, values};
use crate::picture;
use crate::request::{EncodedPicture, GenerationLimits, PromptPart, Request, Script};
use crate::runner::{Device, Dtype, DtypeChoice, RunnerSettings, VilaAdapter};
use crate::tokenizer::PromptToken;

/// Largest distance from the references in float32: another order of summation, nothing else.
const TOLERANCE: f32 = 1e-4;

/// What was compared on one checkpoint; every count is of what was found equal.
#[derive(Debug, Clone, PartialEq)]
pub struct GoldenReport {
    /// Pictures whose 8-bit pixels are equal.
    pub pictures: usize,
    /// Questions whose prompt and token ids are equal.
    pub prompts: usize,
    /// Questions whose generated tokens are equal.
    pub answers: usize,
    /// The largest distance of tower, projector and first logits.
    pub largest: f32,
    /// What differs, one line each; empty where all is well.
    pub faults: Vec<String>,
}

#[derive(Deserialize)]
struct Cases {
    picture_token: i64,
    max_new_tokens: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    picture: String,
    question: String,
    prompt: String,
    prompt_ids: Vec<i64>,
    tokens: Vec<u32>,
}

/// Compares the checkpoint in `folder`, whose `expected` holds the references' results, on the files in `pictures`.
///
/// # Errors
///
/// Files that cannot be read; a difference is no error but a line in the report.
pub fn golden(folder: &Path, pictures: &Path) -> Result<GoldenReport, ParityError> {
    let read =
        |path: &Path| fs::read(path).map_err(|error| ParityError(format!("cannot read `{}`: {error}", path.display())));
    let cases: Cases = serde_json::from_slice(&read(&folder.join("expected/cases.json"))?)
        .map_err(|error| ParityError::new(&error))?;
    let bytes = read(&folder.join("expected/expected.safetensors"))?;
    let expected = SafeTensors::deserialize(&bytes).map_err(|error| ParityError::new(&error))?;
    let tensor = |name: &str| {
        expected
            .tensor(name)
            .map_err(|error| ParityError(format!("`{name}`: {error}")))
    };
    let floats = |name: &str| Ok::<_, ParityError>(single(tensor(name)?.data()));

    let checkpoint = Checkpoint::open(folder).map_err(|error| ParityError::new(&error))?;
    let settings = RunnerSettings::new(Device::Cpu, DtypeChoice::Fixed(Dtype::Float32));
    let mut adapter = VilaAdapter::open(&checkpoint, settings).map_err(|error| ParityError::new(&error))?;
    let mut report = GoldenReport {
        pictures: 0,
        prompts: 0,
        answers: 0,
        largest: 0.0,
        faults: Vec::new(),
    };
    let mut names: Vec<&str> = cases.cases.iter().map(|case| case.picture.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
        let decoded = picture::decode(&read(&pictures.join(name))?).map_err(|error| ParityError::new(&error))?;
        let pixels = checkpoint
            .preprocess
            .pixels(&decoded)
            .map_err(|error| ParityError::new(&error))?;
        if pixels.data == tensor(&format!("picture.{stem}.u8"))?.data() {
            report.pictures += 1;
        } else {
            report.faults.push(format!("pixels of `{name}`"));
        }
        let normalised = checkpoint.preprocess.normalise(&pixels);
        let model = adapter.model();
        let tower = model
            .tower_features(&normalised)
            .map_err(|error| ParityError::new(&error))?;
        let rows = model
            .encode_picture(&normalised)
            .map_err(|error| ParityError::new(&error))?;
        for (part, ours) in [("tower", &tower), ("projector", &rows)] {
            let apart = distance(&values(ours)?, &floats(&format!("picture.{stem}.{part}"))?);
            report.note(apart, || format!("{part} of `{name}`"));
        }
        for case in cases.cases.iter().filter(|case| case.picture == name) {
            let request = request(case, cases.max_new_tokens);
            let wanted = tokens(case, cases.picture_token);
            let ours = adapter
                .prompt_tokens(&request)
                .map_err(|error| ParityError::new(&error))?;
            if adapter.rendered_prompt(&request) == case.prompt && ours == wanted {
                report.prompts += 1;
            } else {
                report.faults.push(format!("prompt of `{}`", case.id));
            }
            let model = adapter.model();
            let encoded = [rows.shallow_clone()];
            let logits = model
                .first_logits(&wanted, &encoded)
                .map_err(|error| ParityError::new(&error))?;
            let apart = distance(&logits, &floats(&format!("case.{}.logits", case.id))?);
            report.note(apart, || format!("first logits of `{}`", case.id));
            let answer = model
                .generate(&wanted, &encoded, request.limits)
                .map_err(|error| ParityError::new(&error))?;
            if answer.ids == case.tokens {
                report.answers += 1;
            } else {
                report.faults.push(format!("answer to `{}`", case.id));
            }
        }
    }
    Ok(report)
}

impl GoldenReport {
    fn note(&mut self, apart: f32, what: impl Fn() -> String) {
        self.largest = self.largest.max(apart);
        if apart > TOLERANCE {
            self.faults.push(format!("{}: {apart:.1e} apart", what()));
        }
    }
}

fn request(case: &Case, max_new_tokens: usize) -> Request {
    Request {
        id: case.id.clone(),
        script: Script::Short,
        prompt: vec![
            PromptPart::Picture(EncodedPicture {
                key: case.picture.as_str().into(),
                read: Arc::new(|| Err("the pixels are given".to_owned())),
            }),
            PromptPart::Text(case.question.clone()),
        ],
        limits: GenerationLimits { max_new_tokens },
    }
}

fn tokens(case: &Case, picture_token: i64) -> Vec<PromptToken> {
    let token = |id: &i64| match u32::try_from(*id) {
        Ok(id) if i64::from(id) != picture_token => PromptToken::Text(id),
        _ => PromptToken::Picture(0),
    };
    case.prompt_ids.iter().map(token).collect()
}

fn single(bytes: &[u8]) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<4>();
    values.iter().map(|value| f32::from_le_bytes(*value)).collect()
}
