//! Who grades: a language model behind a server, or a rule of the benchmark's own.

use benchmarks::{Task, Verdict};

use super::session::{Answers, Graded, Session};
use crate::artefact;
use crate::cli::GradeArgs;
use crate::fault::Fault;

/// What `--judge` calls the rule, and what its grade files are named after.
const RULE: &str = "rule";

/// A grader as the command line names it.
pub enum Grader<'a> {
    /// No server.
    Rule(Task),
    /// A server's model.
    Server(Session<'a>),
}

impl<'a> Grader<'a> {
    /// Reads `--judge` and `--judge-model`.
    pub fn new(args: &'a GradeArgs) -> Result<Self, Fault> {
        let wrong = |what: &str| Err(Fault::User(what.to_owned()));
        match (args.judge == RULE, &args.judge_model) {
            (true, Some(_)) => wrong("--judge-model: the rule is no model; leave it out"),
            (true, None) if args.runs > 1 => wrong("--runs: the rule gives the same grade each time; leave it out"),
            (true, None) if args.dry_run => wrong("--dry-run: the rule asks nobody; leave it out"),
            (true, None) => Ok(Self::Rule(args.task)),
            (false, Some(model)) => Ok(Self::Server(Session::new(args, model)?)),
            (false, None) if !args.judge.contains("://") => wrong("--judge: give a server's address, or `rule`"),
            (false, None) => wrong("--judge-model: name the model to ask at that server"),
        }
    }

    /// What it is called.
    pub const fn name(&self) -> &str {
        match self {
            Self::Rule(_) => RULE,
            Self::Server(session) => session.model(),
        }
    }

    /// Grades what is not graded yet and writes the grade file.
    pub fn grade(&self, of: &Answers<'_>) -> Result<Graded, Fault> {
        match self {
            Self::Rule(task) => by_rule(*task, of),
            Self::Server(session) => session.grade(of),
        }
    }
}

fn by_rule(task: Task, of: &Answers<'_>) -> Result<Graded, Fault> {
    let verdict = |(index, answer): (usize, &Option<String>)| -> Result<Option<(String, Vec<Verdict>)>, Fault> {
        let Some(answer) = answer else { return Ok(None) };
        let verdict = of.dataset.rule_verdict(index, answer)?;
        Ok(Some((answer.clone(), vec![verdict])))
    };
    let verdicts = of
        .answers
        .iter()
        .enumerate()
        .map(verdict)
        .collect::<Result<Vec<_>, _>>()?;
    let graded = verdicts.iter().flatten().count();
    if graded == 0 {
        eprintln!("{task}: no answer graded");
        return Ok(Graded::default());
    }
    let bytes = of.dataset.grade_file(RULE, &verdicts)?;
    let file = of.folder.join(format!("{}_{RULE}-grade-1runs.json", of.model));
    artefact::create_folder(of.folder)?;
    artefact::write(&file, |out| out.write_all(&bytes))?;
    eprintln!("{task}: {graded} answers graded by rule: `{}`", file.display());
    Ok(Graded {
        file: Some(file),
        missing: 0,
    })
}
