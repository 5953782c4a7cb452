//! `export`: answers in the form that an organiser's server or tool takes.

use benchmarks::{DataError, DataSource, Export, llava_answers};

use crate::answers::{Run, answers_of_file};
use crate::artefact;
use crate::cli::{ExportArgs, ExportFormat};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::task;

/// Writes the answers of a run or of a prediction file.
pub fn run(args: &ExportArgs) -> Result<Exit, Fault> {
    let benchmark = task::benchmark(args.task)?;
    let run = match &args.run {
        Some(path) => Some(Run::find(path, args.task, args.split.as_deref())?),
        None => None,
    };
    let source = DataSource {
        root: args.data.clone(),
        images: None,
        split: run.as_ref().map(|run| run.split.clone()).or(args.split.clone()),
        grades: None,
    };
    let dataset = benchmark.load(&source)?;
    task::say_what_was_found(args.task, dataset.as_ref());
    let answers = match (&run, &args.answers) {
        (Some(run), _) => run.answers(dataset.as_ref())?,
        (None, Some(file)) => answers_of_file(dataset.as_ref(), file)?,
        (None, None) => return Err(Fault::User("no answers given; name --run or --answers".to_owned())),
    };
    let export = match args.format {
        ExportFormat::Submission => dataset.export(&answers),
        ExportFormat::Llava => llava_answers(dataset.as_ref(), args.task, &answers),
    };
    let export = export.map_err(|error| match error {
        DataError::Unfaithful(_) => Fault::Bug(error.to_string()),
        error => Fault::Data(error),
    })?;
    if matches!(export, Export::Folder(_)) && std::fs::read_dir(&args.out).is_ok_and(|mut held| held.next().is_some()) {
        return Err(Fault::User(format!(
            "`{}` holds files already; name a new folder with --out",
            args.out.display()
        )));
    }
    match &export {
        Export::File(bytes) => artefact::write(&args.out, |out| out.write_all(bytes))?,
        Export::Folder(files) => artefact::write_folder(&args.out, files)?,
    }
    let answered = answers.iter().flatten().count();
    eprintln!("{}: {answered} of {} answered", args.out.display(), answers.len());
    Ok(if answered == answers.len() {
        Exit::Done
    } else {
        Exit::Unanswered
    })
}
