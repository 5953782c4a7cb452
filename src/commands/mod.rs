//! One file a command. Each takes its arguments and returns how it ended; results go to stdout, all else to stderr.

mod baseline;
mod compare;
mod data;
mod demo;
mod doctor;
mod explain;
mod export;
mod grade;
mod inspect;
mod leaderboard;
mod list;
mod report;
mod run;
mod score;
mod verify;

use crate::cli::{Command, DataCommand};
use crate::exit::Exit;
use crate::fault::Fault;

/// Runs a command.
pub fn run(command: Command) -> Result<Exit, Fault> {
    match command {
        Command::List(args) => list::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Grade(args) => grade::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Data(DataCommand::Check(args)) => data::check(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Baseline(args) => baseline::run(&args),
        Command::Leaderboard(args) => leaderboard::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}
