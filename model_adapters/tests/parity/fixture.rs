//! The tiny checkpoints, opened and run.

use std::path::{Path, PathBuf};

use model_adapters::parity::{Case, Fixture};
use model_adapters::runner::{Device, Dtype, DtypeChoice, Keep, RunnerSettings, VilaAdapter};
use model_adapters::variants::VARIANTS;

/// Where the tiny checkpoints and their pictures lie.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/checkpoints")
}

pub fn fixture(name: &str) -> Fixture {
    Fixture::read(&fixtures().join(name), &fixtures().join("pictures")).unwrap()
}

/// That of every row.
pub fn all() -> impl Iterator<Item = Fixture> {
    VARIANTS.iter().map(|variant| fixture(variant.golden))
}

/// The adapter as it comes without a word from the user.
pub fn adapter(fixture: &Fixture) -> VilaAdapter {
    with(fixture, settings())
}

pub fn settings() -> RunnerSettings {
    RunnerSettings::new(Device::Cpu, DtypeChoice::Auto)
}

pub fn with(fixture: &Fixture, settings: RunnerSettings) -> VilaAdapter {
    VilaAdapter::open(&fixture.checkpoint().unwrap(), settings).unwrap()
}

/// With the weights kept in this way.
pub fn keeping(fixture: &Fixture, keep: Keep) -> VilaAdapter {
    let dtype = match keep {
        Keep::FourBits => DtypeChoice::FourBits,
        Keep::Converted | Keep::AsStored => DtypeChoice::Fixed(Dtype::Float32),
    };
    let keep = Some(keep);
    with(
        fixture,
        RunnerSettings {
            keep,
            dtype,
            ..settings()
        },
    )
}

/// The pixels of a question's picture.
pub fn pixels(fixture: &Fixture, case: &Case) -> Vec<f32> {
    fixture.pixels(&case.picture).unwrap()
}

pub fn flat(tensor: &tch::Tensor) -> Vec<f32> {
    Vec::try_from(tensor.to_kind(tch::Kind::Float).flatten(0, -1)).unwrap()
}
