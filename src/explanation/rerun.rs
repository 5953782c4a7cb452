//! Asks part of a run's questions once more with one thing changed, and compares the answers with the run's, paired.
//!
//! A pilot shows how often answers flip; from that follows how many questions the wanted precision needs, which is
//! looked at again after each stretch. What was asked is kept as a run of its own and is asked once.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use benchmarks::{Dataset, Protocol, Score, Task};
use model_adapters::picture;
use serde::Serialize;

use crate::cli::RunArgs;
use crate::explanation::setting::{Choice, Setting};
use crate::explanation::subset::Subset;
use crate::explanation::{Alternative, Factor};
use crate::fault::Fault;
use crate::interrupt::Interrupt;
use crate::model::Model;
use crate::questions::Questions;
use crate::run_folder::RunFolder;
use crate::statistics::{Margin, Part, clusters, compare};
use crate::task_run::TaskRun;

/// Questions of the pilot: enough to see a flip rate of one in fifty.
const PILOT: usize = 120;

/// The most by which one stretch outgrows all before it: an estimate from few flips is a rough one.
const GROWTH: usize = 4;

/// What was asked again for an alternative.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Asked {
    /// Samples that both sides have answered.
    pub samples: usize,
    /// Pictures that they are about.
    pub pictures: usize,
    /// Samples that were asked and failed.
    pub failed: usize,
    /// Answers that read otherwise.
    pub changed: usize,
    /// Samples that earn another score.
    pub flips: usize,
    /// Half the width of the 95 % interval.
    pub half_width: f64,
    /// How many samples the wanted precision needs, where that is more than were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed: Option<usize>,
    /// What else of the run's identity changes with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

/// A run that can be asked again.
pub struct Rerun<'a> {
    /// Its options, pinned.
    pub args: &'a RunArgs,
    /// What it is.
    pub identity: &'a BTreeMap<String, String>,
    /// The data.
    pub dataset: Arc<dyn Dataset>,
    /// The benchmark.
    pub task: Task,
    /// Its answers, in the order of the data.
    pub answers: &'a [Option<String>],
    /// The metric to explain.
    pub metric: &'a str,
    /// Our value of it.
    pub value: f64,
    /// The published value.
    pub published: f64,
    /// Where side runs are kept.
    pub folder: PathBuf,
    /// The wanted half width of intervals, in the metric's unit.
    pub precision: f64,
    /// The most samples that are asked for one alternative.
    pub limit: usize,
    /// Ends it early.
    pub interrupt: &'a Interrupt,
}

/// A side run under way.
struct Side<'a> {
    run: TaskRun<'a>,
    model: Model,
    also: Vec<String>,
}

impl Rerun<'_> {
    /// Asks for one alternative; one that the checkpoint or the benchmark does not have is returned with the reason.
    ///
    /// # Errors
    ///
    /// A checkpoint or data other than the run's, files that cannot be written.
    pub fn ask(&self, choice: &Choice) -> Result<Alternative, Fault> {
        let subset = Subset::new(self.dataset.samples(), |index| {
            self.answers.get(index).is_some_and(Option::is_some)
        });
        let setting = match &choice.setting {
            Ok(Setting::JpegDecoder(_)) if !self.shows_a_jpeg(&subset.first(PILOT)) => {
                return Ok(self.not_applicable(choice, "no picture of the pilot is a JPEG file".to_owned()));
            }
            Ok(setting) => *setting,
            Err(reason) => return Ok(self.not_applicable(choice, reason.clone())),
        };
        let mut args = self.args.clone();
        setting.apply(&mut args);
        eprintln!(
            "{}: asking again, {} {}",
            self.task,
            choice.factor.words(),
            choice.value
        );
        let mut side = match self.open(&args, setting) {
            Ok(side) => side,
            // The run itself must be one that can be made; any other setting may be one that the checkpoint has not.
            Err(Fault::User(reason)) if setting != Setting::Unchanged => {
                return Ok(self.not_applicable(choice, reason));
            }
            Err(fault) => return Err(fault),
        };
        self.require_same(&mut side, setting)?;
        let most = subset.len().min(self.limit.max(1));
        let mut chosen = subset.first(PILOT.min(most));
        loop {
            let positions: HashSet<usize> = chosen.iter().copied().collect();
            let answered = side.run.answer(&mut side.model, self.interrupt, Some(&positions))?;
            if let Some(fault) = answered.stop {
                return Err(fault);
            }
            let measured = self.measure(&side, &chosen, subset.len());
            let wanted = match &measured {
                // Nothing that the metric needs has been asked about yet.
                Err(_) => chosen.len() * GROWTH,
                Ok((_, _, needed)) => (*needed).min(chosen.len() * GROWTH),
            };
            let larger = subset.first(wanted.min(most));
            if larger.len() <= chosen.len() || self.interrupt.requested() || setting == Setting::Unchanged {
                return Ok(match measured {
                    Ok((change, asked, needed)) => self.measured(choice, change, asked, needed, side.also),
                    Err(reason) => self.not_applicable(choice, reason),
                });
            }
            chosen = larger;
        }
    }

    fn open<'a>(&self, args: &'a RunArgs, setting: Setting) -> Result<Side<'a>, Fault> {
        let mut model = Model::open(args)?;
        model.stop_when(self.interrupt);
        let name = format!("{}={}", setting.factor().id(), setting.value());
        let run = TaskRun {
            args,
            questions: Questions::about(args, self.task, Arc::clone(&self.dataset))?,
            folder: RunFolder::at(self.folder.join(name)),
        };
        Ok(Side {
            run,
            model,
            also: Vec::new(),
        })
    }

    /// Refuses another checkpoint or other data than the run's, and notes what changes beside the setting.
    fn require_same(&self, side: &mut Side<'_>, setting: Setting) -> Result<(), Fault> {
        let identity = side.run.identity(&mut side.model)?;
        let names: HashSet<&String> = self.identity.keys().chain(identity.keys()).collect();
        let mut changed: Vec<&String> = names
            .into_iter()
            .filter(|name| self.identity.get(*name) != identity.get(*name))
            .collect();
        changed.sort();
        if let Some(file) = changed.iter().find(|name| name.contains('/')) {
            return Err(Fault::User(format!(
                "`{file}` is not the file that the run was made with; name the right one with --model or --data"
            )));
        }
        let shown = |name: &&String| match identity.get(*name) {
            Some(value) => format!("{name} {value}"),
            None => format!("no {name}"),
        };
        side.also = changed
            .iter()
            .filter(|name| name.as_str() != setting.identity())
            .map(shown)
            .collect();
        Ok(())
    }

    fn shows_a_jpeg(&self, chosen: &[usize]) -> bool {
        let samples = chosen.iter().filter_map(|&index| self.dataset.samples().get(index));
        let mut pictures = samples.flat_map(|sample| &sample.pictures);
        pictures.any(|picture| picture.read().is_ok_and(|bytes| picture::is_jpeg(&bytes)))
    }

    /// The change on the chosen samples, what it rests on, and how many samples the wanted precision needs.
    fn measure(&self, side: &Side<'_>, chosen: &[usize], all: usize) -> Result<(f64, Asked, usize), String> {
        let entries = side.run.folder.entries().map_err(|fault| fault.to_string())?;
        let samples = self.dataset.samples();
        let mut pair = [vec![None; samples.len()], vec![None; samples.len()]];
        let [base, candidate] = &mut pair;
        let (mut shared, mut changed) = (Vec::new(), 0);
        for &index in chosen {
            let (Some(sample), Some(Some(before))) = (samples.get(index), self.answers.get(index)) else {
                continue;
            };
            let after = entries.get(sample.id.as_str()).and_then(|entry| entry.answer.as_ref());
            if let (Some(after), Some(old), Some(new)) = (after, base.get_mut(index), candidate.get_mut(index)) {
                changed += usize::from(before != after);
                *old = Some(before.clone());
                *new = Some(after.clone());
                shared.push(index);
            }
        }
        let [base, candidate] = pair;
        let (base, candidate) = (self.score(&base)?, self.score(&candidate)?);
        let (of_base, of_candidate) = (self.metric(&base)?, self.metric(&candidate)?);
        let clusters = clusters(samples);
        let margin = Margin {
            worse: 0.0,
            equivalent: None,
            alpha: 0.05,
        };
        let difference = compare(of_base, of_candidate, &clusters, margin)
            .ok_or_else(|| "fewer than two pictures were answered about".to_owned())?;
        let part = Part::new(&difference, of_candidate, shared.len(), all);
        let earned = |score: &Score, index: usize| score.samples.get(index).and_then(|sample| sample.score);
        let flips = shared
            .iter()
            .filter(|&&index| earned(&base, index) != earned(&candidate, index));
        let pictures: HashSet<usize> = shared
            .iter()
            .filter_map(|&index| clusters.get(index).copied())
            .collect();
        let asked = Asked {
            samples: shared.len(),
            pictures: pictures.len(),
            failed: chosen.len() - shared.len(),
            changed,
            flips: flips.count(),
            half_width: part.half_width(),
            needed: None,
            also: Vec::new(),
        };
        Ok((difference.value, asked, part.needed(self.precision)))
    }

    fn score(&self, answers: &[Option<String>]) -> Result<Score, String> {
        self.dataset
            .score(answers, Protocol::Paper)
            .map_err(|error| error.to_string())
    }

    fn metric<'s>(&self, score: &'s Score) -> Result<&'s [benchmarks::Ratio], String> {
        let metric = score
            .metric(self.metric)
            .ok_or_else(|| format!("no metric `{}`", self.metric))?;
        metric.value.clone()?;
        Ok(&metric.ratios)
    }

    fn measured(&self, choice: &Choice, change: f64, asked: Asked, needed: usize, also: Vec<String>) -> Alternative {
        let half = asked.half_width;
        let noise = choice.factor == Factor::AskedAgain;
        Alternative {
            factor: choice.factor,
            alternative: choice.value.clone(),
            value: Some(self.value + change),
            change: Some(change),
            ci95: Some((change - half, change + half)),
            gap_left: Some(self.published - self.value - change),
            reason: None,
            asked: Some(Asked {
                needed: (half > self.precision && !noise).then_some(needed),
                also,
                ..asked
            }),
        }
    }

    fn not_applicable(&self, choice: &Choice, reason: String) -> Alternative {
        Alternative {
            factor: choice.factor,
            alternative: choice.value.clone(),
            value: None,
            change: None,
            ci95: None,
            gap_left: None,
            reason: Some(format!("not applicable: {reason}")),
            asked: None,
        }
    }
}
