//! `demo`: what a user would type, one command after the other, on what the repository ships: two small trained
//! checkpoints, a damaged copy of one, and the mini suite.

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

/// The checkpoint that is damaged and compared, and the one beside it.
const VILA: &str = "mini-vila";
const LLAVA: &str = "mini-llava";
const DAMAGED: &str = "mini-vila-damaged";

/// What the damaged copy is asked.
const COMPARED: &str = "pope,gqa,vqav2";

const REGRESSION: &str = "a regression: on a CI server this command ends with status 1 and stops the checkpoint";
const NONE: &str = "no regression was found";

/// Runs, grades, ranks, compares, reports; or what the subcommand does.
pub fn run(args: &DemoArgs) -> Result<Exit, Fault> {
    if let Some(DemoCommand::Data(args)) = &args.command {
        return data::run(args);
    }
    Demo::new(&args.out)?.show()
}

/// Where everything lies.
struct Demo {
    checkpoints: PathBuf,
    suite: PathBuf,
    out: PathBuf,
}

impl Demo {
    fn new(out: &Path) -> Result<Self, Fault> {
        let fixtures = Path::new(FIXTURES);
        let demo = Self {
            checkpoints: fixtures.join("checkpoints"),
            suite: fixtures.join("mini-suite"),
            out: out.to_owned(),
        };
        if demo.suite.is_dir() {
            Ok(demo)
        } else {
            Err(Fault::User(format!(
                "the demo's files are not at `{FIXTURES}`; run it from the source tree that built it"
            )))
        }
    }

    fn show(&self) -> Result<Exit, Fault> {
        eprintln!(
            "two small checkpoints, trained on drawn pictures, answer eight small benchmarks about others: what they score \
             says nothing about VILA or LLaVA-1.5"
        );
        let (vila, llava) = (self.out.join(VILA), self.out.join(LLAVA));
        for (name, run) in [(VILA, &vila), (LLAVA, &llava)] {
            self.ask(&self.checkpoints.join(name), "all")?;
            self.say(&["grade", "--task", "mm-vet", "--judge", "rule", "--run", &shown(run)])?;
        }
        self.say(&["leaderboard", &shown(&vila), &shown(&llava)])?;
        let damaged = self.out.join("checkpoints").join(DAMAGED);
        damage::write(&self.checkpoints.join(VILA), &damaged)?;
        eprintln!("\n`{}` is a copy of {VILA}: {}", damaged.display(), damage::WHAT);
        self.ask(&damaged, COMPARED)?;
        let candidate = self.out.join(DAMAGED);
        let (base, candidate) = (shown(&vila), shown(&candidate));
        let verdict = self.say(&[
            "compare",
            &base,
            &candidate,
            "--tasks",
            COMPARED,
            "--fail-on-regression",
        ])?;
        eprintln!("{}", if verdict == Exit::Regression { REGRESSION } else { NONE });
        let report = shown(&self.out.join("report"));
        self.say(&["report", &base, &candidate, &shown(&llava), "--out", &report])?;
        Ok(Exit::Done)
    }

    fn ask(&self, checkpoint: &Path, tasks: &str) -> Result<Exit, Fault> {
        let (model, data, out) = (shown(checkpoint), shown(&self.suite), shown(&self.out));
        self.say(&[
            "run", "--model", &model, "--tasks", tasks, "--data", &data, "--out", &out,
        ])
    }

    /// Shows a command line and does what it says.
    fn say(&self, line: &[&str]) -> Result<Exit, Fault> {
        eprintln!("\n$ vila-bench {}", line.join(" "));
        let typed: Vec<String> = ["vila-bench"].iter().chain(line).map(|&word| word.to_owned()).collect();
        let parsed = Cli::try_parse_from(&typed).map_err(|error| Fault::Bug(error.to_string()))?;
        match parsed.command {
            Command::Run(args) => commands::run::run(&RunArgs { typed, ..args }),
            Command::Demo(_) => Err(Fault::Bug("the demo calls itself".to_owned())),
            command => commands::run(command),
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
