//! `demo`: the whole way on what the repository ships: a tiny random checkpoint, eight drawn pictures, questions in
//! POPE's form.

use std::path::{Path, PathBuf};

use benchmarks::{PromptStyle, Task};
use model_adapters::picture::JpegDecoder;
use model_adapters::stop::StopRule;

use crate::cli::{
    AdapterKind, AspectRatio, BatchSize, CheckpointArgs, DemoArgs, DtypeArg, LeaderboardArgs, ReportArgs, RunArgs,
    TableFormat, TaskList,
};
use crate::commands;
use crate::exit::Exit;
use crate::fault::Fault;

/// The fixtures lie in the source tree that built this command.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// Runs, scores, prints the leaderboard, writes the report.
pub fn run(args: &DemoArgs) -> Result<Exit, Fault> {
    let fixtures = Path::new(FIXTURES);
    if !fixtures.is_dir() {
        return Err(Fault::User(format!(
            "the demo's files are not at `{FIXTURES}`; run it from the source tree that built it"
        )));
    }
    eprintln!("the demo's checkpoint is tiny and its weights are random: its scores mean nothing");
    let exit = commands::run::run(&RunArgs {
        model: fixtures.join("checkpoints/tiny-vila15"),
        checkpoint: CheckpointArgs::default(),
        adapter: AdapterKind::Auto,
        tasks: TaskList(vec![Task::Pope]),
        data: fixtures.join("pope-demo"),
        images: None,
        split: None,
        out: args.out.clone(),
        limit: None,
        device: "cpu".to_owned(),
        dtype: DtypeArg::Auto,
        batch_size: BatchSize::Auto,
        exact: false,
        fast: false,
        no_dedupe: false,
        trace: None,
        one_at_a_time: false,
        ignore_eos: false,
        max_new_tokens: Some(8),
        prompt_style: PromptStyle::Paper,
        conv_template: None,
        profile: None,
        image_aspect_ratio: AspectRatio::Auto,
        jpeg_decoder: JpegDecoder::default(),
        stop: StopRule::Auto,
        shard: None,
        strict: false,
        dry_run: false,
        fresh: false,
    })?;
    commands::leaderboard::run(&LeaderboardArgs {
        runs: vec![PathBuf::clone(&args.out)],
        against: Vec::new(),
        format: TableFormat::Table,
        out: None,
    })?;
    commands::report::run(&ReportArgs {
        runs: vec![PathBuf::clone(&args.out)],
        out: args.out.join("report"),
        data: Some(fixtures.join("pope-demo")),
        images: None,
        against: Vec::new(),
    })?;
    Ok(exit)
}
