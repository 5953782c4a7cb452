//! `list`: what there is.

use std::io::{self, Write};

use crate::cli::{ListArgs, Listing};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::published::{Ours, PublishedNumbers};
use crate::table::{Table, left, right};

/// The checkpoint families and what this build does with them (`checkpoints.md` section 1).
const MODELS: &[(&str, &str, &str, &str)] = &[
    (
        "VILA1.5-3b, -13b",
        "B: llm/, vision_tower/, mm_projector/",
        "SigLIP or CLIP, mlp_downsample",
        "runs",
    ),
    (
        "llava-hf/llava-1.5-7b-hf, -13b-hf",
        "D: llava-hf",
        "CLIP, two linears",
        "runs",
    ),
    (
        "VILA-7b, VILA-13b",
        "A: one folder, tower by hub id",
        "CLIP, mlp2x_gelu",
        "not yet",
    ),
    (
        "liuhaotian/llava-v1.5-7b, -13b",
        "C: one folder, tower by hub id",
        "CLIP, mlp2x_gelu",
        "not yet",
    ),
    (
        "Llama-3-VILA1.5-8b",
        "B",
        "SigLIP, mlp_downsample",
        "loads, not compared with the reference yet",
    ),
    ("VILA1.5-40b", "B", "InternViT-6B, mlp_downsample", "not yet"),
    ("VILA1.5-3b-s2", "B", "SigLIP at two scales, mlp_downsample", "not yet"),
    ("VILA*-AWQ", "B with .pt", "int4", "not yet"),
];

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
    let mut table = Table::new(&[left("checkpoint"), left("layout"), left("parts"), left("this build")]);
    for (checkpoint, layout, parts, state) in MODELS {
        table.row([checkpoint, layout, parts, state].map(|cell| (*cell).to_owned()));
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
