//! The score of a run: `results.json`, `samples.parquet`, `scorecard.json`, and the table for people.

use std::collections::HashMap;
use std::io::Write as _;

use benchmarks::{Dataset, Protocol, Score, Task};

use crate::artefact;
use crate::fault::Fault;
use crate::journal::Entry;
use crate::results::Results;
use crate::run_folder::RunFolder;
use crate::scorecard::Scorecard;
use crate::{samples, score_table};

/// A run whose answers have been scored.
pub struct ScoredRun<'a> {
    /// Its folder.
    pub folder: &'a RunFolder,
    /// The data.
    pub dataset: &'a dyn Dataset,
    /// The benchmark.
    pub task: Task,
    /// The name of the model.
    pub model: &'a str,
    /// Whether the headline is all that is said.
    pub quiet: bool,
}

impl ScoredRun<'_> {
    /// Writes the score of `entries` into the folder; prints it, or says its headline on stderr.
    pub fn write(&self, entries: &HashMap<String, Entry>, score: &Score) -> Result<Results, Fault> {
        let mut results = Results::new(self.dataset, self.task, Protocol::Paper, score);
        results.model = Some(self.model.to_owned());
        results.failed = entries.values().filter(|entry| entry.error.is_some()).count();
        results.truncated = entries.values().filter(|entry| entry.truncated).count();
        results.timings = self.folder.timings()?;
        samples::write(&self.folder.samples(), self.dataset, entries, Some(score))?;
        artefact::write_json(&self.folder.results(), &results)?;
        let manifests = self.folder.manifests()?;
        let identity = manifests.first().map(|(_, manifest)| manifest.identity.clone());
        let scorecard = Scorecard::new(self.dataset, self.task, Protocol::Paper, score);
        let scorecard = scorecard.of_run(self.model, &identity.unwrap_or_default());
        Scorecard::write(&self.folder.scorecard(), &[scorecard])?;

        let folder = self.folder.path().display();
        if self.quiet {
            eprintln!(
                "{}: {}; written to `{folder}`",
                self.task,
                score_table::headline(&results)
            );
        } else {
            let mut out = std::io::stdout().lock();
            score_table::write(&mut out, &results)
                .and_then(|()| out.flush())
                .map_err(|error| Fault::stdout(&error))?;
            eprintln!("{}: written to `{folder}`", self.task);
        }
        Ok(results)
    }
}
