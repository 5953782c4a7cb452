//! Grading one set of answers: what the transcript knows, what is left to ask, and the grade file of both.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use benchmarks::{Dataset, Task, Verdict};

use super::asking::{Asked, Asker, Job, Missing};
use super::client::Client;
use super::endpoint::Endpoint;
use super::estimate::{Estimate, Prices};
use super::key::Key;
use super::patience::Patience;
use super::transcript::{self, Subject, Transcript, TranscriptFile};
use crate::artefact;
use crate::cli::GradeArgs;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::hash::text_sha256;
use crate::interrupt::Interrupt;
use crate::progress::{Progress, Words};

/// How many reasons of failed judgements are shown.
const REASONS_SHOWN: usize = 5;

/// A judge as the command line names it.
pub struct Session<'a> {
    args: &'a GradeArgs,
    model: &'a str,
    endpoint: Endpoint,
    interrupt: Interrupt,
}

/// Answers and where their grades go.
pub struct Answers<'a> {
    /// The data.
    pub dataset: &'a dyn Dataset,
    /// The name of the model that answered; the files are named after it.
    pub model: &'a str,
    /// One entry a sample.
    pub answers: &'a [Option<String>],
    /// Where transcript and grades go.
    pub folder: &'a Path,
}

/// What came of grading.
#[derive(Default)]
pub struct Graded {
    /// The grade file; `None` where there is no grade to write.
    pub file: Option<PathBuf>,
    /// Judgements without a finding.
    pub(super) missing: usize,
}

/// An answer's verdicts, one a run.
type Judged = Option<(String, Vec<Option<Verdict>>)>;

impl<'a> Session<'a> {
    /// Reads `--judge` and listens for Ctrl-C.
    pub fn new(args: &'a GradeArgs, model: &'a str) -> Result<Self, Fault> {
        let endpoint = args.judge.parse();
        Ok(Self {
            args,
            model,
            endpoint: endpoint.map_err(|why| Fault::User(format!("--judge: {why}")))?,
            interrupt: Interrupt::listen()?,
        })
    }

    /// The model that is asked.
    pub const fn model(&self) -> &str {
        self.model
    }

    /// Grades what is not graded yet and writes the grade file.
    pub fn grade(&self, of: &Answers<'_>) -> Result<Graded, Fault> {
        let path = transcript::path(of.folder, of.model, self.model);
        let file = self.grade_file(of);
        if file.exists() && !path.exists() {
            return Err(Fault::User(format!(
                "`{}` was graded by somebody else and would be overwritten; give another --out",
                file.display()
            )));
        }
        let (mut judged, jobs) = self.open_jobs(of, &Transcript::read(&path)?)?;
        let task = self.args.task;
        let wanted: usize = judged.iter().flatten().map(|(_, runs)| runs.len()).sum();
        let known = wanted - jobs.len();
        let estimate = Estimate::of(&jobs, self.prices());
        if self.args.dry_run {
            let lines = [
                format!("{task}: {} judged by {} at {}", of.model, self.model, self.endpoint),
                format!("  judgements  {} to make, {known} already made", jobs.len()),
                format!("  estimate    {estimate}"),
                format!("  transcript  {}", path.display()),
                format!("  grades      {}", file.display()),
            ];
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", lines.join("\n")).map_err(|error| Fault::stdout(&error))?;
            return Ok(Graded::default());
        }
        artefact::create_folder(of.folder)?;
        if known > 0 {
            eprintln!("{task}: {known} of {wanted} already graded in `{}`", path.display());
        }
        if jobs.is_empty() {
            eprintln!("{task}: nothing to ask");
        } else {
            eprintln!("{task}: {estimate}");
            self.ask(jobs, &path, of.dataset, &mut judged)?;
        }
        let missing = judged.iter().flatten().flat_map(|(_, runs)| runs);
        let missing = missing.filter(|verdict| verdict.as_ref().is_none_or(|verdict| verdict.finding.is_none()));
        let missing = missing.count();
        let nothing = wanted > 0
            && judged
                .iter()
                .flatten()
                .all(|(_, runs)| runs.iter().all(Option::is_none));
        if nothing {
            eprintln!("{task}: no answer graded");
            if file.exists() {
                // It is about other answers.
                std::fs::remove_file(&file).map_err(|error| Fault::file("remove", &file, &error))?;
            }
            return Ok(Graded { file: None, missing });
        }
        let verdicts: Vec<Option<(String, Vec<Verdict>)>> = judged
            .into_iter()
            .map(|judged| judged.map(|(answer, runs)| (answer, runs.into_iter().flatten().collect())))
            .collect();
        let bytes = of.dataset.grade_file(self.model, &verdicts)?;
        artefact::write(&file, |out| out.write_all(&bytes))?;
        eprintln!("{task}: grades written to `{}`", file.display());
        Ok(Graded {
            file: Some(file),
            missing,
        })
    }

    /// What the transcript says of every answer, and the judgements that it lacks.
    fn open_jobs(&self, of: &Answers<'_>, transcript: &Transcript) -> Result<(Vec<Judged>, Vec<Job>), Fault> {
        let mut jobs = Vec::new();
        let mut judged: Vec<Judged> = Vec::with_capacity(of.answers.len());
        for (index, (sample, answer)) in of.dataset.samples().iter().zip(of.answers).enumerate() {
            let mut verdicts = Vec::new();
            for run in 0..self.args.runs {
                let Some(answer) = answer else { break };
                let Some(mut judgement) = of.dataset.judgement(index, answer)? else {
                    break;
                };
                let subject = Subject {
                    id: sample.id.to_string(),
                    answer_sha256: text_sha256(answer),
                    judge: self.model.to_owned(),
                    run,
                };
                let (calls, verdict) = transcript.replay(&subject, judgement.as_mut());
                if verdict.is_none() {
                    jobs.push(Job {
                        subject,
                        judgement,
                        calls,
                    });
                }
                verdicts.push(verdict);
            }
            let answer = answer.clone().filter(|_| !verdicts.is_empty());
            judged.push(answer.map(|answer| (answer, verdicts)));
        }
        Ok((judged, jobs))
    }

    /// Makes the judgements and puts the verdicts where they belong.
    fn ask(&self, jobs: Vec<Job>, path: &Path, dataset: &dyn Dataset, judged: &mut [Judged]) -> Result<(), Fault> {
        let task = self.args.task;
        let key = Key::from_environment()?;
        if let Some((_, variable)) = &key {
            eprintln!("{task}: asking {} with the key of {variable}", self.endpoint);
            if self.endpoint.is_open() {
                eprintln!("{task}: the key and the answers go there unencrypted; give an https address");
            }
        }
        let client = Client::new(
            self.endpoint.clone(),
            self.model.to_owned(),
            key.map(|(key, _)| key),
            Duration::from_secs_f64(self.args.timeout),
        )?;
        let patience = Patience {
            retries: self.args.retries,
            first: Duration::from_secs_f64(self.args.backoff),
        };
        let asker = Asker::new(client, patience, TranscriptFile::open(path)?, self.interrupt.clone());
        let words = Words {
            done: "graded",
            many: "judgements",
        };
        let progress = Progress::counting(words, task.id(), jobs.len());
        let asked = asker.ask_all(jobs, self.args.concurrency as usize, progress)?;
        self.say_what_happened(&asked);
        let ids = dataset.samples().iter().enumerate();
        let index_of: HashMap<&str, usize> = ids.map(|(index, sample)| (sample.id.as_str(), index)).collect();
        for done in asked.judged {
            let place = index_of
                .get(done.subject.id.as_str())
                .and_then(|index| judged.get_mut(*index)?.as_mut())
                .and_then(|(_, runs)| runs.get_mut(done.subject.run as usize));
            if let (Some(place), Ok(verdict)) = (place, done.outcome) {
                *place = Some(verdict);
            }
        }
        Ok(())
    }

    fn say_what_happened(&self, asked: &Asked) {
        let task = self.args.task;
        // By reason: a server that is down gives all judgements the same one.
        let mut failed: Vec<(&str, Vec<&str>)> = Vec::new();
        for judged in &asked.judged {
            if let Err(Missing::Failed(why)) = &judged.outcome {
                let id = judged.subject.id.as_str();
                match failed.iter_mut().find(|(known, _)| known == why) {
                    Some((_, ids)) => ids.push(id),
                    None => failed.push((why, vec![id])),
                }
            }
        }
        for (why, ids) in failed.iter().take(REASONS_SHOWN) {
            let more = if ids.len() > 1 {
                format!(" and {} more", ids.len() - 1)
            } else {
                String::new()
            };
            eprintln!(
                "{task}: ungraded: {}{more}: {why}",
                ids.first().copied().unwrap_or_default()
            );
        }
        if failed.len() > REASONS_SHOWN {
            let more = failed.len() - REASONS_SHOWN;
            eprintln!("{task}: and {more} more reasons; all stand in the transcript");
        }
        let exhausted = asked.judged.iter().filter_map(|judged| judged.outcome.as_ref().ok());
        let exhausted = exhausted.filter(|verdict| verdict.finding.is_none()).count();
        if exhausted > 0 {
            eprintln!("{task}: {exhausted} judgements used up their calls without a reply that can be read");
        }
        let (sent, received) = asked
            .judged
            .iter()
            .fold((0, 0), |sum, judged| (sum.0 + judged.tokens.0, sum.1 + judged.tokens.1));
        let price = self.prices().map(|prices| prices.of(sent as f64, received as f64));
        let price = price.map(|price| format!(", {price:.2} in all")).unwrap_or_default();
        eprintln!("{task}: the server counts {sent} tokens sent and {received} received{price}");
        if let Some(stop) = &asked.stop {
            eprintln!("{task}: stopped: {stop}");
        } else if self.interrupt.requested() {
            eprintln!("{task}: stopped; the same command goes on from here");
        }
    }

    /// The grade file's place, named as the organisers' tool names it.
    fn grade_file(&self, of: &Answers<'_>) -> PathBuf {
        let judge = transcript::file_part(self.model);
        let what = match self.args.task {
            Task::Mmbench => "matches".to_owned(),
            _ => format!("grade-{}runs", self.args.runs),
        };
        of.folder.join(format!("{}_{judge}-{what}.json", of.model))
    }

    fn prices(&self) -> Option<Prices> {
        Some(Prices {
            sent: self.args.price_in?,
            received: self.args.price_out?,
        })
    }
}

impl Graded {
    /// How a command that graded them ends.
    pub fn exit(&self, dry_run: bool) -> Exit {
        if self.missing > 0 && !dry_run {
            Exit::Unanswered
        } else {
            Exit::Done
        }
    }
}
