//! `list`: what there is.

use std::io::{self, Write};

use model_adapters::variants::VARIANTS;

use crate::cli::{ListArgs, Listing};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::published::{Ours, PublishedNumbers};
use crate::table::{Table, left, right};

/// Prints a listing.
pub fn run(args: &ListArgs) -> Result<Exit, Fault> {
    let table = match args.what {
        Listing::Benchmarks => benchmarks_table(),
        Listing::Models => models_table(),
        Listing::Published => published_table()?,
    };
    let mut out = io::stdout().lock();
    table
        .write_text(&mut out)
        .and_then(|()| out.flush())
        .map_err(|error| Fault::stdout(&error))?;
    Ok(Exit::Done)
}

fn benchmarks_table() -> Table {
    let mut table = Table::new(&[
        left("task"),
        left("split of the paper"),
        right("questions"),
        left("headline"),
        left("what"),
    ]);
    for benchmark in benchmarks::REGISTRY {
        table.row([
            benchmark.task().to_string(),
            benchmark.default_split().to_owned(),
            benchmark.default_size().to_string(),
            benchmark.headline().to_owned(),
            benchmark.about().to_owned(),
        ]);
    }
    table
}

fn models_table() -> Table {
    let mut table = Table::new(&[
        left("checkpoint"),
        left("layout"),
        left("vision tower"),
        left("projector"),
        left("template"),
        left("checked on"),
    ]);
    for variant in VARIANTS {
        let scales = if variant.s2 { ", two scales" } else { "" };
        let packing = variant.packing.map_or(String::new(), |packing| format!(", {packing}"));
        table.row([
            variant.names.join(", "),
            format!("{}{packing}", variant.layout),
            format!("{}{scales}", variant.tower),
            variant.projector.to_string(),
            variant.template.name().to_owned(),
            variant.golden.to_owned(),
        ]);
    }
    table
}

fn published_table() -> Result<Table, Fault> {
    let numbers = PublishedNumbers::get()?;
    let mut table = Table::new(&[
        left("source"),
        left("model"),
        left("benchmark"),
        left("split"),
        left("metric"),
        right("value"),
        left("our metric"),
    ]);
    for row in &numbers.rows {
        let ours = match numbers.ours(row) {
            Some(Ours::Same { split, metric }) => format!("{metric} at {split}"),
            Some(Ours::NotComparable(reason)) => format!("not comparable: {reason}"),
            None => String::new(),
        };
        let cells = [
            &row.source_id,
            &row.model,
            &row.benchmark,
            &row.split,
            &row.metric,
            &row.value,
            &ours,
        ];
        table.row(cells.map(Clone::clone));
    }
    Ok(table)
}
