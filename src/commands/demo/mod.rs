//! `demo`: what a user would type, one command after the other, on what the repository ships: two small trained
//! checkpoints, a damaged copy of the first, and the mini suite.

mod data;

use std::path::{Path, PathBuf};

use clap::Parser as _;

use crate::cli::{Cli, Command, DemoArgs, DemoCommand, RunArgs};
use crate::commands;
use crate::demo::damage;
use crate::exit::Exit;
use crate::fault::Fault;

/// The fixtures lie in the source tree that built this command.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// The checkpoints that are asked everything, the one that is damaged first.
const CHECKPOINTS: [&str; 2] = ["mini-vila", "mini-llava"];
const DAMAGED: &str = "mini-vila-damaged";

/// What the damaged copy is asked.
const COMPARED: &str = "vqav2,gqa,pope";

/// The published rows that the leaderboard shows.
const PUBLISHED: &str = "vila-paper-t5/LLaVA-1.5-7B,vila-paper-t5/VILA-7B";

const WHAT_THIS_IS: &str = "two small checkpoints, trained on drawn pictures, answer eight small benchmarks about others \
                            of that kind: their scores say nothing about VILA or LLaVA-1.5";
const REGRESSION: &str = "a regression: on a CI server this command ends with status 1 and stops the checkpoint";
const NONE: &str = "no regression was found";

/// Runs, grades, ranks, compares, reports; or what the subcommand does.
pub fn run(args: &DemoArgs) -> Result<Exit, Fault> {
    match &args.command {
        Some(DemoCommand::Data(args)) => data::run(args),
        None => Demo::new(args)?.show(),
    }
}

/// Where everything lies.
struct Demo {
    checkpoints: PathBuf,
    suite: PathBuf,
    out: PathBuf,
    fresh: bool,
}

impl Demo {
    fn new(args: &DemoArgs) -> Result<Self, Fault> {
        let fixtures = from_here(Path::new(FIXTURES));
        let demo = Self {
            checkpoints: fixtures.join("trained"),
            suite: fixtures.join("mini-suite"),
            out: args.out.clone(),
            fresh: args.fresh,
        };
        if demo.suite.is_dir() && demo.checkpoints.is_dir() {
            Ok(demo)
        } else {
            Err(Fault::User(format!(
                "the demo's files are not at `{FIXTURES}`; run it from the source tree that built it"
            )))
        }
    }

    fn show(&self) -> Result<Exit, Fault> {
        eprintln!("{WHAT_THIS_IS}");
        let runs = CHECKPOINTS.map(|name| shown(&self.out.join(name)));
        for (name, run) in CHECKPOINTS.iter().zip(&runs) {
            if self.ask(&self.checkpoints.join(name), "all")? != Exit::Done {
                return Ok(Exit::Unanswered);
            }
            say(&["grade", "--task", "mm-vet", "--judge", "rule", "--run", run, "--quiet"])?;
        }
        let [base, other] = &runs;
        say(&["leaderboard", base, other, "--against", PUBLISHED])?;
        let candidate = shown(&self.out.join(DAMAGED));
        if self.damaged()? != Exit::Done {
            return Ok(Exit::Unanswered);
        }
        let verdict = say(&["compare", base, &candidate, "--tasks", COMPARED, "--fail-on-regression"])?;
        eprintln!("{}", if verdict == Exit::Regression { REGRESSION } else { NONE });
        let report = shown(&self.out.join("report"));
        say(&["report", base, other, &candidate, "--out", &report])?;
        Ok(Exit::Done)
    }

    /// Makes and asks the damaged copy.
    fn damaged(&self) -> Result<Exit, Fault> {
        let [original, _] = CHECKPOINTS;
        let copy = self.out.join("checkpoints").join(DAMAGED);
        damage::write(&self.checkpoints.join(original), &copy)?;
        eprintln!("\n`{}` is a copy of {original}: {}", copy.display(), damage::WHAT);
        self.ask(&copy, COMPARED)
    }

    /// Asks what is not answered yet; [`Exit::Unanswered`] where the user stopped it.
    fn ask(&self, checkpoint: &Path, tasks: &str) -> Result<Exit, Fault> {
        let (model, data, out) = (shown(checkpoint), shown(&self.suite), shown(&self.out));
        let asked = [
            "run", "--model", &model, "--tasks", tasks, "--data", &data, "--out", &out,
        ];
        // A second thread would gain nothing on products of this size, and lose much where another program has its core.
        let how = ["--threads", "1", "--quiet", "--fresh"];
        let how = if self.fresh { &how[..] } else { &how[..3] };
        say(&[&asked[..], how].concat())
    }
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

/// The path as somebody would type it here.
fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).to_owned()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
