//! Exit statuses, as `cli.md` promises them to scripts.

use std::io::Write as _;
use std::process::ExitCode;

use crate::fault::Fault;

/// How a command ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done.
    Done,
    /// `compare --fail-on-regression` found one.
    Regression,
    /// `verify` found something that is not as recorded.
    Differs,
    /// `verify` found nothing of the kind, but could not look at everything.
    NotChecked,
    /// Finished, but samples are unanswered, or answers ungraded.
    Unanswered,
}

/// A regression was found, or a record that does not hold.
const REGRESSION: u8 = 1;
/// Finished, but not with everything: samples unanswered, answers ungraded, parts not checked.
const UNANSWERED: u8 = 3;
/// Wrong usage or bad input.
const USER: u8 = 2;
/// A bug in vila-bench.
const BUG: u8 = 70;

/// Prints a fault on stderr and gives the status of an outcome.
pub fn report(outcome: Result<Exit, Fault>) -> ExitCode {
    match outcome {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Regression | Exit::Differs) => ExitCode::from(REGRESSION),
        Ok(Exit::Unanswered | Exit::NotChecked) => ExitCode::from(UNANSWERED),
        // A reader that went away, as in `vila-bench list published | head`, is no failure.
        Err(Fault::BrokenPipe) => ExitCode::SUCCESS,
        Err(Fault::Bug(what)) => {
            print_bug(&what);
            ExitCode::from(BUG)
        }
        Err(fault) => {
            let _ = writeln!(std::io::stderr(), "error: {fault}");
            ExitCode::from(USER)
        }
    }
}

/// Prints what clap has to say: help on stdout, faults on stderr with a hint at the nearest name.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::from(USER)
    } else {
        ExitCode::SUCCESS
    }
}

/// Turns a panic into the report of a bug and status 70.
pub fn install_bug_report() {
    std::panic::set_hook(Box::new(|panic| {
        print_bug(&panic.to_string());
        std::process::exit(i32::from(BUG));
    }));
}

fn print_bug(what: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let _ = writeln!(
        std::io::stderr(),
        "error: this is a bug in vila-bench, please report it with these lines\n  version: {}\n  arguments: {}\n  what: {}",
        env!("CARGO_PKG_VERSION"),
        arguments.join(" "),
        what.replace('\n', "\n  ")
    );
}
