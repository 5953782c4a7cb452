//! `doctor --parity`: whether this machine and build give what the references gave: on the tiny checkpoints that this
//! command carries, and layer by layer on a user's checkpoint beside a reference dump.

use std::io::Write;
use std::path::Path;

use model_adapters::checkpoint::Checkpoint;
use model_adapters::parity::{Dump, ParityError, golden};
use model_adapters::runner::{Device, DtypeChoice, RunnerSettings, VilaAdapter};

use crate::exit::Exit;
use crate::fault::Fault;
use crate::table::{Table, left, right};

/// Paths below `tests/fixtures/checkpoints`, and what the files hold.
const GOLDEN: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/golden.rs"));

/// Runs the shipped checks and, where there is a dump, compares `checkpoint` with it.
pub fn run(checkpoint: Option<&Path>, reference: Option<&Path>) -> Result<Exit, Fault> {
    let mut differs = shipped()?;
    match (checkpoint, reference) {
        (Some(checkpoint), Some(reference)) => differs |= beside_dump(checkpoint, reference)?,
        (Some(checkpoint), None) => eprintln!(
            "to compare `{}` layer by layer, make a dump with tests/oracle/dump.py and give it to --reference",
            checkpoint.display()
        ),
        (None, Some(_)) => {
            return Err(Fault::User(
                "--reference needs the checkpoint: --parity CKPT --reference DUMP".to_owned(),
            ));
        }
        (None, None) => {}
    }
    if differs {
        return Err(Fault::User(
            "this machine and build do not give what the references gave: see the lines above".to_owned(),
        ));
    }
    Ok(Exit::Done)
}

/// One line for each tiny checkpoint; true where something differs.
fn shipped() -> Result<bool, Fault> {
    let folder = tempfile::tempdir().map_err(|error| Fault::write(&std::env::temp_dir(), &error))?;
    for (name, bytes) in GOLDEN {
        let path = folder.path().join(name);
        let parent = path.parent().unwrap_or(folder.path());
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, bytes));
        written.map_err(|error| Fault::write(&path, &error))?;
    }
    let mut names: Vec<&str> = GOLDEN
        .iter()
        .filter_map(|(name, _)| name.strip_suffix("/expected/cases.json"))
        .collect();
    names.sort_unstable();
    let mut table = Table::new(&[
        left("shipped check"),
        right("pixels"),
        right("prompts"),
        right("answers"),
        right("largest distance"),
        left("differs"),
    ]);
    let mut differs = false;
    for name in names {
        let report = golden(&folder.path().join(name), &folder.path().join("pictures")).map_err(user)?;
        differs |= !report.faults.is_empty();
        table.row([
            name.to_owned(),
            report.pictures.to_string(),
            report.prompts.to_string(),
            report.answers.to_string(),
            format!("{:.1e}", report.largest),
            if report.faults.is_empty() {
                "nothing".to_owned()
            } else {
                report.faults.join(", ")
            },
        ]);
    }
    print(&table, "")?;
    Ok(differs)
}

/// One line for each hidden state; true where the two part.
fn beside_dump(checkpoint: &Path, reference: &Path) -> Result<bool, Fault> {
    let dump = Dump::read(reference).map_err(user)?;
    let checkpoint = Checkpoint::open(checkpoint)?;
    let settings = RunnerSettings::new(Device::Cpu, DtypeChoice::Fixed(dump.dtype));
    let mut adapter = VilaAdapter::open(&checkpoint, settings)?;
    let report = dump.compare(&mut adapter).map_err(user)?;
    let mut table = Table::new(&[left("step"), right("distance"), right("allowed"), left("agrees")]);
    for step in &report.steps {
        table.row([
            step.name.clone(),
            format!("{:.1e}", step.distance),
            format!("{:.1e}", step.allowed),
            if step.agrees() { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let verdict = match report.first_parting() {
        None => format!("agrees with the dump in {}: {} steps\n", dump.dtype, report.steps.len()),
        Some(step) => format!("parts from the dump in {} at: {}\n", dump.dtype, step.name),
    };
    print(&table, &verdict)?;
    Ok(report.first_parting().is_some())
}

fn print(table: &Table, verdict: &str) -> Result<(), Fault> {
    let mut out = std::io::stdout().lock();
    let written = table
        .write_text(&mut out)
        .and_then(|()| out.write_all(verdict.as_bytes()))
        .and_then(|()| out.flush());
    written.map_err(|error| Fault::stdout(&error))
}

fn user(error: ParityError) -> Fault {
    Fault::User(error.to_string())
}
