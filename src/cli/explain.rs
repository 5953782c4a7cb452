//! What `explain` can be told: which run and number, what is asked again and how precisely, what is printed.

use std::path::PathBuf;

use benchmarks::UnknownName;
use clap::{Args, ValueEnum};

use crate::explanation::Factor;

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Run folder: `runs/<model>/<task>@<split>`
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Published number: source and model
    #[arg(long, value_name = "SOURCE_ID/MODEL")]
    pub against: String,
    /// Folder with the data that the run was made with; default: the one that the run was given
    #[arg(long, value_name = "ROOT")]
    pub data: Option<PathBuf>,
    /// Where pictures are looked for after the layout's own places; default: where the run looked
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Grades or matches of the answers; default: those that `grade` has written into RUN
    #[arg(long, value_name = "FILE")]
    pub grades: Option<PathBuf>,
    /// Also ask part of the questions again with one thing changed at a time: all of `asked-again` (nothing changed),
    /// `ocr-tokens`, `prompt-style`, `conv-template`, `image-aspect-ratio`, `jpeg-decoder`, `dtype`, or those named. The
    /// answers are kept in RUN/explain; asked again, the command goes on from there
    #[arg(
        long,
        value_name = "FACTORS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all",
        value_parser = factors
    )]
    pub rerun: Option<FactorList>,
    /// Half the width of the 95 % interval that a change is to be known with, in per cent of the metric's range
    #[arg(long, value_name = "P", default_value = "0.5", value_parser = precision)]
    pub precision: f64,
    /// The most questions that are asked again for one alternative
    #[arg(long, value_name = "N", default_value = "1000")]
    pub rerun_limit: usize,
    /// Checkpoint to ask again; default: the run's
    #[arg(long, value_name = "CKPT")]
    pub model: Option<PathBuf>,
    /// Where to compute; default: as the run did
    #[arg(long)]
    pub device: Option<String>,
    /// What is printed; `svg` and `html` draw the way from the published number to ours
    #[arg(long, value_enum, default_value = "table")]
    pub format: ExplainFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    Table,
    Json,
    Csv,
    Md,
    Html,
    Svg,
}

/// The factors named by `--rerun`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactorList(Vec<Factor>);

impl FactorList {
    /// Whether a factor is among them.
    pub fn contains(&self, factor: Factor) -> bool {
        self.0.contains(&factor)
    }
}

fn factors(text: &str) -> Result<FactorList, UnknownName> {
    if text == "all" {
        return Ok(FactorList(Factor::ASKED.to_vec()));
    }
    let named = text.split(',').map(|name| name.trim().parse());
    named.collect::<Result<_, _>>().map(FactorList)
}

fn precision(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|p: &f64| *p > 0.0 && *p < 50.0);
    value.ok_or_else(|| "give a number between 0 and 50".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_those_that_ask_again() {
        assert_eq!(factors("all"), Ok(FactorList(Factor::ASKED.to_vec())));
        assert_eq!(
            factors("dtype, jpeg-decoder"),
            Ok(FactorList(vec![Factor::Dtype, Factor::JpegDecoder]))
        );
        assert!(factors("protocol").is_err() && factors("").is_err());
        assert!(precision("0.5") == Ok(0.5) && precision("0").is_err() && precision("x").is_err());
    }
}
