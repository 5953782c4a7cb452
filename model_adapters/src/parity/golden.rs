//! The shipped check: a tiny checkpoint beside what the reference programs made of it.

use std::path::Path;

use crate::parity::fixture::{Fixture, stem};
use crate::parity::{ParityError, distance, values};
use crate::runner::{Device, Dtype, DtypeChoice, RunnerSettings, VilaAdapter};

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

/// Compares the checkpoint in `folder`, whose `expected` holds the references' results, on the files in `pictures`.
///
/// # Errors
///
/// Files that cannot be read; a difference is no error but a line in the report.
pub fn golden(folder: &Path, pictures: &Path) -> Result<GoldenReport, ParityError> {
    let fixture = Fixture::read(folder, pictures)?;
    let checkpoint = fixture.checkpoint()?;
    let settings = RunnerSettings::new(Device::Cpu, DtypeChoice::Fixed(Dtype::Float32));
    let mut adapter = VilaAdapter::open(&checkpoint, settings).map_err(|error| ParityError::new(&error))?;
    let mut report = GoldenReport {
        pictures: 0,
        prompts: 0,
        answers: 0,
        largest: 0.0,
        faults: Vec::new(),
    };
    for name in fixture.pictures() {
        let stem = stem(name);
        let pixels = checkpoint.preprocess.pixels(&fixture.picture(name)?);
        let pixels = pixels.map_err(|error| ParityError::new(&error))?;
        if Some(&pixels.data) == fixture.bytes(&format!("picture.{stem}.u8"))?.as_ref() {
            report.pictures += 1;
        } else {
            report.faults.push(format!("pixels of `{name}`"));
        }
        let normalised = checkpoint.preprocess.normalise(&pixels);
        let model = adapter.model();
        let tower = model.tower_features(&normalised);
        let tower = tower.map_err(|error| ParityError::new(&error))?;
        let rows = model.encode_picture(&normalised);
        let rows = rows.map_err(|error| ParityError::new(&error))?;
        for (part, ours) in [("tower", &tower), ("projector", &rows)] {
            let apart = distance(&values(ours)?, &fixture.floats(&format!("picture.{stem}.{part}"))?);
            report.note(apart, || format!("{part} of `{name}`"));
        }
        for case in fixture.cases.cases.iter().filter(|case| case.picture == name) {
            let request = fixture.request(case);
            let wanted = fixture.prompt(case);
            let ours = adapter.prompt_tokens(&request);
            let ours = ours.map_err(|error| ParityError::new(&error))?;
            if adapter.rendered_prompt(&request) == case.prompt && ours == wanted {
                report.prompts += 1;
            } else {
                report.faults.push(format!("prompt of `{}`", case.id));
            }
            let model = adapter.model();
            let encoded = [rows.shallow_clone()];
            let logits = model.first_logits(&wanted, &encoded);
            let logits = logits.map_err(|error| ParityError::new(&error))?;
            let apart = distance(&logits, &fixture.floats(&format!("case.{}.logits", case.id))?);
            report.note(apart, || format!("first logits of `{}`", case.id));
            let answer = model.generate(&wanted, &encoded, request.limits);
            if answer.map_err(|error| ParityError::new(&error))?.ids == case.tokens {
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
