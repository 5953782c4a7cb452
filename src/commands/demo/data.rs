//! `demo data`: draws the mini suite or data to train on.

use std::fs;
use std::path::Path;

use crate::cli::DemoDataArgs;
use crate::demo;
use crate::exit::Exit;
use crate::fault::Fault;

/// Scenes between two lines on stderr.
const SAID_EVERY: usize = 5000;

/// Writes the folder.
pub fn run(args: &DemoDataArgs) -> Result<Exit, Fault> {
    require_free(&args.out)?;
    let out = args.out.display();
    match args.training {
        None => {
            let files = demo::write_suite(args.seed, &args.out)?;
            println_result(&format!("`{out}`: the mini suite of seed {}, {files} files", args.seed))
        }
        Some(count) => {
            let count = count as usize;
            demo::write_training(args.seed, count, &args.out, |written| {
                if written % SAID_EVERY == 0 {
                    eprintln!("{written} of {count} scenes");
                }
            })?;
            println_result(&format!("`{out}`: {count} scenes of seed {} to train on", args.seed))
        }
    }
}

fn println_result(line: &str) -> Result<Exit, Fault> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{line}").map_err(|error| Fault::stdout(&error))?;
    Ok(Exit::Done)
}

/// Refuses what would be mixed with other files, before anything is drawn.
fn require_free(out: &Path) -> Result<(), Fault> {
    let fault = |what: &str| Fault::User(format!("`{}` {what}; give another --out", out.display()));
    match fs::read_dir(out).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Err(fault("is a folder with files in it")),
        Ok(false) => Ok(()),
        Err(_) if out.exists() => Err(fault("is no folder")),
        Err(_) => match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => crate::artefact::create_folder(parent),
            _ => Ok(()),
        },
    }
}
