//! The other runs of each benchmark beside its first: paired, on the samples that both have.

use crate::comparison::{Comparison, Question, comparable, compare_runs};
use crate::fault::Fault;
use crate::report::runs::BenchmarkRuns;
use crate::statistics::Margin;

/// Level of the tests, over the benchmarks in which a run of the same place is compared.
pub const ALPHA: f64 = 0.05;

/// Run `candidate` of a benchmark against its first run.
pub struct Compared {
    /// Position among the benchmark's runs.
    pub candidate: usize,
    /// What was found, or why the two cannot be compared.
    pub outcome: Result<Comparison, String>,
}

/// For each benchmark one entry a run after the first. The second runs of all benchmarks are one family of tests, the
/// third runs another, as `compare` would judge them.
pub fn compare_with_first(benchmarks: &[BenchmarkRuns]) -> Result<Vec<Vec<Compared>>, Fault> {
    let question = Question {
        margin: Margin {
            worse: 0.0,
            equivalent: None,
            alpha: ALPHA,
        },
        common_only: true,
    };
    let mut compared: Vec<Vec<Compared>> = benchmarks.iter().map(|_| Vec::new()).collect();
    let most = benchmarks.iter().map(|benchmark| benchmark.runs.len()).max();
    for candidate in 1..most.unwrap_or_default() {
        let mut pairs = Vec::new();
        let mut places = Vec::new();
        for (benchmark, found) in benchmarks.iter().zip(&mut compared) {
            let (Some(base), Some(run)) = (benchmark.runs.first(), benchmark.runs.get(candidate)) else {
                continue;
            };
            let outcome = match (&base.scorecard, &run.scorecard) {
                (Some(base), Some(run)) => match comparable(base, run, question) {
                    Ok(()) => {
                        pairs.push((base.clone(), run.clone()));
                        places.push(found);
                        continue;
                    }
                    Err(Fault::User(reason)) => reason,
                    Err(fault) => return Err(fault),
                },
                _ => "one of them is not scored".to_owned(),
            };
            found.push(Compared {
                candidate,
                outcome: Err(outcome),
            });
        }
        for (found, comparison) in places.into_iter().zip(compare_runs(&pairs, question)?) {
            found.push(Compared {
                candidate,
                outcome: Ok(comparison),
            });
        }
    }
    Ok(compared)
}
