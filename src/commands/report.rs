//! `report`: one page about one or more runs.

use std::io::{self, Write as _};

use crate::cli::ReportArgs;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::report;

/// Writes the page, prints its place, says on stderr what it shows.
pub fn run(args: &ReportArgs) -> Result<Exit, Fault> {
    let written = report::write(args)?;
    eprintln!(
        "{} runs of {} benchmarks, {} samples, {}",
        written.runs, written.benchmarks, written.samples, written.pictures
    );
    let mut out = io::stdout().lock();
    writeln!(out, "{}", written.index.display())
        .and_then(|()| out.flush())
        .map_err(|error| Fault::stdout(&error))?;
    Ok(Exit::Done)
}
