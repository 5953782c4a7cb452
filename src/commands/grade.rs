//! `grade`: has a judge grade answers that no rule can score, keeps every reply, writes a grade file, and scores with
//! it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use benchmarks::{DataSource, Dataset, Protocol, ReferenceGrades, Score, Task, reference_grades};
use clap::Parser as _;

use crate::answers::{Run, answers_of_file};
use crate::artefact;
use crate::cli::{Cli, Command, GradeArgs};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::judge::calibration::{self, Calibration, Comparison};
use crate::judge::grader::Grader;
use crate::judge::session::Answers;
use crate::judge::transcript;
use crate::results::{FORMAT, Results};
use crate::run_folder::RunFolder;
use crate::scored_run::ScoredRun;
use crate::statistics::clusters;
use crate::{score_table, task};

/// Where grades go that belong to no run.
const FOLDER: &str = "grades";

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
    let grading = Grading {
        args,
        grader: Grader::new(args)?,
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

/// The command and its judge.
struct Grading<'a> {
    args: &'a GradeArgs,
    grader: Grader<'a>,
}

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
        let graded = self.grader.grade(&Answers {
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
                quiet: self.args.quiet,
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
        let graded = self.grader.grade(&Answers {
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
            let graded = self.grader.grade(&Answers {
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
        let judge = self.grader.name();
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
        .and_then(|()| calibration::table(comparisons).write_text(&mut out))
        .and_then(|()| out.flush())
        .map_err(|error| Fault::stdout(&error))?;
        eprintln!("{}: written to `{}`", self.args.task, path.display());
        Ok(())
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
        if !self.args.quiet {
            task::say_what_was_found(self.args.task, dataset.as_ref());
        }
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
