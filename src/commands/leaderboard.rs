//! `leaderboard`: runs beside published numbers.

use std::io::{self, Write};

use crate::artefact;
use crate::beside_published::{Line, Run, beside_published, notes, read_runs, selection};
use crate::cli::{LeaderboardArgs, TableFormat};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::table::{Cell, Table, html, left, right};

/// Prints the runs, each headline followed by the published rows about the same benchmark.
pub fn run(args: &LeaderboardArgs) -> Result<Exit, Fault> {
    let selection = selection(&args.against)?;
    let mut lines = Vec::new();
    for runs in read_runs(&args.runs)?.chunk_by(Run::is_like) {
        lines.extend(beside_published(runs, &selection)?);
    }
    let write = |out: &mut dyn Write| write(out, args.format, &lines);
    match &args.out {
        Some(path) => artefact::write(path, write)?,
        None => {
            let mut out = io::stdout().lock();
            write(&mut out)
                .and_then(|()| out.flush())
                .map_err(|error| Fault::stdout(&error))?;
        }
    }
    Ok(Exit::Done)
}

fn write(out: &mut dyn Write, format: TableFormat, lines: &[Line]) -> io::Result<()> {
    match format {
        TableFormat::Table => {
            table(lines).without_empty_columns().write_text(out)?;
            notes(lines).iter().try_for_each(|note| writeln!(out, "{note}"))
        }
        TableFormat::Md => {
            table(lines).without_empty_columns().write_markdown(out)?;
            writeln!(out)?;
            notes(lines).iter().try_for_each(|note| writeln!(out, "- {note}"))
        }
        TableFormat::Csv => table(lines).write_csv(out),
        TableFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, lines)?;
            writeln!(out)
        }
        TableFormat::Latex => {
            notes(lines).iter().try_for_each(|note| writeln!(out, "% {note}"))?;
            table(lines).without_empty_columns().write_latex(out)
        }
        TableFormat::Html => {
            table(lines).without_empty_columns().write_html(out)?;
            writeln!(out, "<ul>")?;
            notes(lines)
                .iter()
                .try_for_each(|note| writeln!(out, "<li>{}</li>", html(note)))?;
            writeln!(out, "</ul>")
        }
    }
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new(&[
        left("benchmark"),
        left("metric"),
        left("model"),
        right("value"),
        right("95 % interval"),
        right("rank"),
        right("ours − published"),
        left("source"),
        left("verdict"),
    ]);
    for line in lines {
        let value = line
            .printed
            .clone()
            .or_else(|| line.value.map(|value| format!("{value:.2}")))
            .or_else(|| line.bounds.map(|(low, high)| format!("{low:.2} to {high:.2}")));
        let value = value.unwrap_or_else(|| "–".to_owned());
        let interval = line.ci95.map(|(low, high)| format!("{low:.2} to {high:.2}"));
        let rank = line.rank.map(|(rank, of)| format!("{rank} of {of}"));
        let difference = line.difference.map(|difference| format!("{difference:+.2}"));
        let verdict = line.verdict.map(|verdict| verdict.words().to_owned());
        let said: Vec<String> = verdict
            .into_iter()
            .chain(Some(line.remark.clone()).filter(|r| !r.is_empty()))
            .collect();
        table.row([
            Cell::from(format!("{} {}", line.task, line.split)),
            line.metric.clone().into(),
            line.model.clone().into(),
            if line.best { Cell::best(value) } else { value.into() },
            interval.unwrap_or_default().into(),
            rank.unwrap_or_default().into(),
            difference.unwrap_or_default().into(),
            line.source.clone().into(),
            said.join(": ").into(),
        ]);
    }
    table
}
