//! `demo`: what a user would type, one command after the other, on what the repository ships: a tiny random checkpoint,
//! eight drawn pictures, questions in POPE's form.

mod data;

use std::path::{Path, PathBuf};

use clap::Parser as _;

use crate::cli::{Cli, Command, DemoArgs, DemoCommand, RunArgs};
use crate::commands;
use crate::exit::Exit;
use crate::fault::Fault;

/// The fixtures lie in the source tree that built this command.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// Runs, scores, prints the leaderboard, writes the report; or what the subcommand does.
pub fn run(args: &DemoArgs) -> Result<Exit, Fault> {
    if let Some(DemoCommand::Data(args)) = &args.command {
        return data::run(args);
    }
    let fixtures = Path::new(FIXTURES);
    if !fixtures.is_dir() {
        return Err(Fault::User(format!(
            "the demo's files are not at `{FIXTURES}`; run it from the source tree that built it"
        )));
    }
    eprintln!("the demo's checkpoint is tiny and its weights are random: its scores mean nothing");
    let [model, data] = ["checkpoints/tiny-vila15", "pope-demo"].map(|name| shown(&fixtures.join(name)));
    let (out, report) = (shown(&args.out), shown(&PathBuf::from(&args.out).join("report")));
    let asked = ["run", "--model", &model, "--tasks", "pope", "--data", &data];
    let exit = say(&[&asked[..], &["--max-new-tokens", "8", "--device", "cpu", "--out", &out]].concat())?;
    say(&["leaderboard", &out])?;
    say(&["report", &out, "--out", &report])?;
    Ok(exit)
}

/// Shows a command line and does what it says.
fn say(line: &[&str]) -> Result<Exit, Fault> {
    eprintln!("\n$ vila-bench {}", line.join(" "));
    let typed: Vec<String> = ["vila-bench"].iter().chain(line).map(|&word| word.to_owned()).collect();
    let parsed = Cli::try_parse_from(&typed).map_err(|error| Fault::Bug(error.to_string()))?;
    match parsed.command {
        Command::Run(args) => commands::run::run(&RunArgs { typed, ..args }),
        Command::Demo(_) => Err(Fault::Bug("the demo calls itself".to_owned())),
        command => commands::run(command),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
