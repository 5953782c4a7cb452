//! `verify`: whether what a run's folder says still holds.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::{VerifyArgs, VerifyFormat};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::interrupt::Interrupt;
use crate::results::FORMAT;
use crate::table::{Table, left};
use crate::verification::{Finding, Verdict, Verification};

/// The document of `--format json`.
#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    findings: &'a [Finding],
}

/// Looks at every part of the record and says line by line what can be said of it.
pub fn run(args: &VerifyArgs) -> Result<Exit, Fault> {
    let verification = Verification::open(args)?;
    let findings = verification.findings(&Interrupt::listen()?)?;
    print(args.format, &findings).map_err(|error| Fault::stdout(&error))?;
    let any = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    Ok(match (any(Verdict::Differs), any(Verdict::NotChecked)) {
        (true, _) => Exit::Differs,
        (false, true) => Exit::NotChecked,
        (false, false) => Exit::Done,
    })
}

fn print(format: VerifyFormat, findings: &[Finding]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        VerifyFormat::Table => {
            let mut table = Table::new(&[left("part"), left("verdict"), left("what")]);
            for finding in findings {
                let verdict = finding.verdict.words().to_owned();
                table.row([finding.part.to_owned(), verdict, finding.what.clone()]);
            }
            table.write_text(&mut out)?;
        }
        VerifyFormat::Json => {
            let format = FORMAT;
            serde_json::to_writer_pretty(&mut out, &Document { format, findings })?;
            writeln!(out)?;
        }
    }
    out.flush()
}
