//! The harness: ties a benchmark to a model and turns answers into tables.
//!
//! `cli` holds what can be typed, `commands` one file a command. A run passes through `plan` (what is asked, in
//! which order), `journal` (answers as they come), `run_folder` (files on disk) and ends in `statistics`,
//! `comparison`, `table` and `report`; `explanation` says where a gap may come from, `verification` whether the record
//! still holds. `judge` asks a language model about answers that no rule can score.

mod answers;
mod artefact;
mod beside_published;
mod cli;
mod commands;
mod comparison;
mod demo;
mod digits;
mod exit;
mod explanation;
mod fault;
mod fingerprint;
mod hash;
mod interrupt;
mod journal;
mod judge;
#[cfg(feature = "libtorch")]
mod learned_file;
mod manifest;
mod model;
mod picture_hashes;
mod plan;
mod progress;
mod published;
mod questions;
mod recorded_run;
mod report;
mod results;
mod run_folder;
#[cfg(feature = "libtorch")]
mod runner;
mod samples;
mod score_table;
mod scorecard;
mod scored_run;
mod script;
mod speed;
mod statistics;
mod table;
mod task;
mod task_run;
mod trace;
mod verification;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;

/// Parses the command line, runs the command, maps its outcome to an exit status.
pub fn main() -> ExitCode {
    // SAFETY: nothing has run before, so there is no other thread.
    #[cfg(feature = "libtorch")]
    unsafe {
        model_adapters::runner::use_large_pages();
    }
    exit::install_bug_report();
    match Cli::try_parse() {
        Ok(cli) => exit::report(commands::run(cli.command)),
        Err(error) => exit::usage(&error),
    }
}
