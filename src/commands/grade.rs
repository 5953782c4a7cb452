//! `grade`: has a judge grade answers that no rule can score, keeps every reply, writes a grade file, and scores with
//! it.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use benchmarks::{DataSource, Dataset, Protocol, ReferenceGrades, Score, Task, Verdict, reference_grades};
use clap::Parser as _;
use serde::Serialize;

use crate::answers::{Run, answers_of_file};
use crate::artefact;
use crate::cli::{Cli, Command, GradeArgs};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::hash::text_sha256;
use crate::interrupt::Interrupt;
use crate::judge::asking::{Asked, Asker, Job, Missing};
use crate::judge::calibration::Comparison;
use crate::judge::client::Client;
use crate::judge::endpoint::Endpoint;
use crate::judge::estimate::{Estimate, Prices};
use crate::judge::key::Key;
use crate::judge::patience::Patience;
use crate::judge::transcript::{self, Subject, Transcript, TranscriptFile};
use crate::progress::{Progress, Words};
use crate::results::{FORMAT, Results};
use crate::run_folder::RunFolder;
use crate::scored_run::ScoredRun;
use crate::statistics::clusters;
use crate::table::{Table, left, right};
use crate::{score_table, task};

/// Where grades go that belong to no run.
const FOLDER: &str = "grades";

/// How many failed judgements are shown one by one.
const FAILURES_SHOWN: usize = 5;

/// Grades what the arguments name.
pub fn run(args: &GradeArgs) -> Result<Exit, Fault> {
    match args.task {
        Task::MmVet => {}
        Task::Mmbench if args.runs > 1 => {
            return Err(Fault::User(
                "--runs: an MMBench answer is matched once; leave it out".to_owned(),
            ));
        }
        Task::Mmbench if args.calibrate => {
            return Err(Fault::User(
                "--calibrate: there are no reference matches of MMBench; it serves `mm-vet`".to_owned(),
            ));
        }
        Task::Mmbench => {}
        other => {
            return Err(Fault::User(format!(
                "`{other}` is scored without a judge; `vila-bench score` needs its answers only"
            )));
        }
    }
    let endpoint = args
        .judge
        .parse()
        .map_err(|why| Fault::User(format!("--judge: {why}")))?;
    let grading = Grading {
        args,
        endpoint,
        interrupt: Interrupt::listen()?,
    };
    match (&args.run, &args.answers, &args.data) {
        (Some(run), _, _) => grading.of_run(run),
        (None, Some(answers), Some(data)) => grading.of_file(answers, data),
        (None, None, Some(data)) if args.calibrate => grading.calibrate(data),
        _ => Err(Fault::User(
            "nothing to grade; name --run, --answers or --calibrate".to_owned(),
        )),
    }
}

/// The command with what it needs for all of its work.
struct Grading<'a> {
    args: &'a GradeArgs,
    endpoint: Endpoint,
    interrupt: Interrupt,
}

/// Answers and where their grades go.
struct Answers<'a> {
    dataset: &'a dyn Dataset,
    model: &'a str,
    answers: &'a [Option<String>],
    folder: &'a Path,
}

/// What came of grading.
struct Graded {
    /// The grade file; `None` where there is no grade to write.
    file: Option<PathBuf>,
    /// Judgements without a finding.
    missing: usize,
}

/// An answer's verdicts, one a run.
type Judged = Option<(String, Vec<Option<Verdict>>)>;

impl Grading<'_> {
    /// Grades a run's answers and scores the run with the grades.
    fn of_run(&self, path: &Path) -> Result<Exit, Fault> {
        let run = Run::find(path, self.args.task, self.args.split.as_deref())?;
        let folder = RunFolder::at(run.path.clone());
        let data = match &self.args.data {
            Some(data) => data.clone(),
            None => data_of(&folder)?,
        };
        let source = self.source(&data, Some(run.split.clone()));
        let dataset = self.load(&source)?;
        require_same_data(&folder, dataset.as_ref())?;
        let answers = run.answers(dataset.as_ref())?;
        let model = run.model();
        let graded = self.grade(&Answers {
            dataset: dataset.as_ref(),
            model: &model,
            answers: &answers,
            folder: self.args.out.as_deref().unwrap_or(&run.path),
        })?;
        if let Some(grades) = &graded.file {
            let (dataset, score) = self.score(&source, grades, &answers)?;
            let scored = ScoredRun {
                folder: &folder,
                dataset: dataset.as_ref(),
                task: self.args.task,
                model: &model,
            };
            scored.write(&folder.entries()?, &score)?;
        }
        Ok(graded.exit(self.args.dry_run))
    }

    /// Grades a prediction file and shows the score.
    fn of_file(&self, path: &Path, data: &Path) -> Result<Exit, Fault> {
        let source = self.source(data, self.args.split.clone());
        let dataset = self.load(&source)?;
        let answers = answers_of_file(dataset.as_ref(), path)?;
        let graded = self.grade(&Answers {
            dataset: dataset.as_ref(),
            model: &path.file_stem().unwrap_or_default().to_string_lossy(),
            answers: &answers,
            folder: self.folder(),
        })?;
        if let Some(grades) = &graded.file {
            let (dataset, score) = self.score(&source, grades, &answers)?;
            let results = Results::new(dataset.as_ref(), self.args.task, Protocol::Paper, &score);
            let mut out = std::io::stdout().lock();
            score_table::write(&mut out, &results).map_err(|error| Fault::stdout(&error))?;
        }
        Ok(graded.exit(self.args.dry_run))
    }

    /// Grades the answers of the reference grades again and compares.
    fn calibrate(&self, data: &Path) -> Result<Exit, Fault> {
        let source = self.source(data, self.args.split.clone());
        let references = reference_grades(&source)?;
        let dataset = self.load(&source)?;
        let clusters = clusters(dataset.samples());
        let mut comparisons = Vec::new();
        let mut exit = Exit::Done;
        for of_model in references.chunk_by(|a, b| a.answers == b.answers) {
            let Some(ReferenceGrades { model, answers, .. }) = of_model.first() else {
                continue;
            };
            let answers = answers_of_file(dataset.as_ref(), answers)?;
            let graded = self.grade(&Answers {
                dataset: dataset.as_ref(),
                model,
                answers: &answers,
                folder: self.folder(),
            })?;
            exit = exit.max(graded.exit(self.args.dry_run));
            let Some(grades) = &graded.file else { continue };
            let (_, of_judge) = self.score(&source, grades, &answers)?;
            for reference in of_model {
                let (dataset, of_reference) = self.score(&source, &reference.grades, &answers)?;
                let name = reference
                    .grades
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                let judge = dataset.judge().map(|judge| judge.name);
                comparisons.push(Comparison::new((name, judge), &of_reference, &of_judge, &clusters));
            }
        }
        if !comparisons.is_empty() {
            self.show(&comparisons)?;
        }
        Ok(exit)
    }

    /// Prints the comparisons and keeps them.
    fn show(&self, comparisons: &[Comparison]) -> Result<(), Fault> {
        let judge = &self.args.judge_model;
        let document = Calibration {
            format: FORMAT,
            task: self.args.task,
            judge,
            runs: self.args.runs,
            comparisons,
        };
        let path = self
            .folder()
            .join(format!("calibration_{}.json", transcript::file_part(judge)));
        artefact::write_json(&path, &document)?;
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "{judge} beside reference grades of {}, in points of the answers that both graded",
            self.args.task
        )
        .and_then(|()| comparison_table(comparisons).write_text(&mut out))
        .and_then(|()| out.flush())
        .map_err(|error| Fault::stdout(&error))?;
        eprintln!("{}: written to `{}`", self.args.task, path.display());
        Ok(())
    }

    /// Grades what is not graded yet and writes the grade file.
    fn grade(&self, of: &Answers<'_>) -> Result<Graded, Fault> {
        let path = transcript::path(of.folder, of.model, &self.args.judge_model);
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
            let mut out = std::io::stdout().lock();
            let lines = [
                format!(
                    "{task}: {} judged by {} at {}",
                    of.model, self.args.judge_model, self.endpoint
                ),
                format!("  judgements  {} to make, {known} already made", jobs.len()),
                format!("  estimate    {estimate}"),
                format!("  transcript  {}", path.display()),
                format!("  grades      {}", file.display()),
            ];
            writeln!(out, "{}", lines.join("\n")).map_err(|error| Fault::stdout(&error))?;
            return Ok(Graded { file: None, missing: 0 });
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
            return Ok(Graded { file: None, missing });
        }
        let verdicts: Vec<Option<(String, Vec<Verdict>)>> = judged
            .into_iter()
            .map(|judged| judged.map(|(answer, runs)| (answer, runs.into_iter().flatten().collect())))
            .collect();
        let bytes = of.dataset.grade_file(&self.args.judge_model, &verdicts)?;
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
                    judge: self.args.judge_model.clone(),
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
            self.args.judge_model.clone(),
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
        let failed: Vec<(&str, &str)> = asked
            .judged
            .iter()
            .filter_map(|judged| match &judged.outcome {
                Err(Missing::Failed(why)) => Some((judged.subject.id.as_str(), why.as_str())),
                Ok(_) | Err(Missing::Stopped) => None,
            })
            .collect();
        for (id, why) in failed.iter().take(FAILURES_SHOWN) {
            eprintln!("{task}: ungraded: {id}: {why}");
        }
        if failed.len() > FAILURES_SHOWN {
            eprintln!("{task}: and {} more", failed.len() - FAILURES_SHOWN);
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

    fn source(&self, root: &Path, split: Option<String>) -> DataSource {
        DataSource {
            root: root.to_owned(),
            images: None,
            split,
            grades: None,
        }
    }

    fn load(&self, source: &DataSource) -> Result<Box<dyn Dataset>, Fault> {
        let dataset = task::benchmark(self.args.task)?.load(source)?;
        task::say_what_was_found(self.args.task, dataset.as_ref());
        Ok(dataset)
    }

    /// The data with `grades`, and the score of `answers` under them.
    fn score(
        &self,
        source: &DataSource,
        grades: &Path,
        answers: &[Option<String>],
    ) -> Result<(Box<dyn Dataset>, Score), Fault> {
        let source = DataSource {
            grades: Some(grades.to_owned()),
            ..source.clone()
        };
        let dataset = task::benchmark(self.args.task)?.load(&source)?;
        let score = dataset.score(answers, Protocol::Paper)?;
        Ok((dataset, score))
    }

    fn folder(&self) -> &Path {
        self.args.out.as_deref().unwrap_or(Path::new(FOLDER))
    }

    /// The grade file's place, named as the organisers' tool names it.
    fn grade_file(&self, of: &Answers<'_>) -> PathBuf {
        let judge = transcript::file_part(&self.args.judge_model);
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
    fn exit(&self, dry_run: bool) -> Exit {
        if self.missing > 0 && !dry_run {
            Exit::Unanswered
        } else {
            Exit::Done
        }
    }
}

/// `calibration_<judge>.json`.
#[derive(Serialize)]
struct Calibration<'a> {
    format: u32,
    task: Task,
    judge: &'a str,
    runs: u32,
    comparisons: &'a [Comparison],
}

fn comparison_table(comparisons: &[Comparison]) -> Table {
    let mut table = Table::new(&[
        left("reference"),
        right("n"),
        right("reference score"),
        right("judge's score"),
        right("shift"),
        right("95 % interval"),
        right("mean difference"),
        right("correlation"),
        right("equal, %"),
        right("ungraded"),
    ]);
    let two = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    for row in comparisons {
        let interval = row.ci95.map(|(low, high)| format!("{low:+.2} to {high:+.2}"));
        table.row([
            row.reference.clone(),
            row.n.to_string(),
            two(row.reference_score),
            two(row.judge_score),
            row.shift.map_or_else(|| "–".to_owned(), |shift| format!("{shift:+.2}")),
            interval.unwrap_or_default(),
            two(row.mean_difference),
            two(row.correlation),
            two(row.equal),
            row.ungraded.to_string(),
        ]);
    }
    table
}

/// The data that the run last asked about, as its command line names them.
fn data_of(folder: &RunFolder) -> Result<PathBuf, Fault> {
    let manifests = folder.manifests()?;
    let commands = manifests.iter().flat_map(|(_, manifest)| &manifest.segments).rev();
    let named = commands.filter_map(|segment| match Cli::try_parse_from(&segment.command).ok()?.command {
        Command::Run(args) => Some(args.data),
        _ => None,
    });
    match named.into_iter().find(|data| data.exists()) {
        Some(data) => Ok(data),
        None => Err(Fault::User(format!(
            "the data of `{}` are not where its command line says, seen from here; name them with --data",
            folder.path().display()
        ))),
    }
}

/// Refuses data of which a file is not the one that was asked.
fn require_same_data(folder: &RunFolder, dataset: &dyn Dataset) -> Result<(), Fault> {
    for (_, manifest) in folder.manifests()? {
        for file in &dataset.provenance().files {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy();
            if let Some(asked) = manifest.identity.get(&format!("data/{name}"))
                && *asked != file.sha256
            {
                return Err(Fault::User(format!(
                    "`{}` is not the file that was asked in `{}`; name the data that were, with --data",
                    file.path.display(),
                    folder.path().display()
                )));
            }
        }
    }
    Ok(())
}
