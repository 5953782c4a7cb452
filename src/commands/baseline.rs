//! `baseline`: what `compare` needs of a run, in one file that can be committed.

use crate::cli::BaselineArgs;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::scorecard::Scorecard;

/// Writes the scorecards of the runs, one a line.
pub fn run(args: &BaselineArgs) -> Result<Exit, Fault> {
    let mut scorecards = Vec::new();
    for path in &args.runs {
        scorecards.extend(Scorecard::read_all(path)?.into_iter().map(|found| found.scorecard));
    }
    scorecards.sort_by(|a, b| (a.task, &a.split).cmp(&(b.task, &b.split)));
    let twice = scorecards
        .windows(2)
        .find(|pair| matches!(pair, [a, b] if (a.task, &a.split) == (b.task, &b.split)));
    if let Some([first, ..]) = twice {
        return Err(Fault::User(format!(
            "two runs of {} {}; a baseline holds one run of each benchmark",
            first.task, first.split
        )));
    }
    Scorecard::write(&args.out, &scorecards)?;
    for scorecard in &scorecards {
        let model = scorecard.model.as_deref().unwrap_or("prediction file");
        eprintln!(
            "{} {}: {} samples of {model}",
            scorecard.task,
            scorecard.split,
            scorecard.samples.len()
        );
    }
    eprintln!("written to `{}`", args.out.display());
    Ok(Exit::Done)
}
