//! `inspect`: what the loader sees in a checkpoint. Reads configuration and tensor headers, no weights.

use std::io::{self, Write};

use model_adapters::checkpoint::{Checkpoint, Dtype, Inspection, ModuleInspection};
use model_adapters::picture::Geometry;
use model_adapters::tokenizer::Tokenizer;

use crate::cli::InspectArgs;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::table::{Table, left, right};

/// Prints what a checkpoint is.
pub fn run(args: &InspectArgs) -> Result<Exit, Fault> {
    let checkpoint = Checkpoint::open(&args.checkpoint)?;
    let tokenizer = checkpoint
        .open_tokenizer(checkpoint.profile())
        .map_err(|error| Fault::User(error.to_string()))?;
    checkpoint.vocabulary_rows(&tokenizer)?;
    let mut out = io::stdout().lock();
    write(&mut out, &checkpoint, &tokenizer)
        .and_then(|()| out.flush())
        .map_err(|error| Fault::stdout(&error))?;
    Ok(Exit::Done)
}

fn write(out: &mut dyn Write, checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> io::Result<()> {
    let seen = checkpoint.inspect();
    let geometry = match checkpoint.preprocess.geometry {
        Geometry::Pad => "padded to a square, then the processor",
        Geometry::Stretch => "stretched to the processor's size",
        Geometry::Processor => "the processor alone",
    };
    let lines = [
        ("checkpoint", checkpoint.folder.display().to_string()),
        ("layout", seen.layout.to_string()),
        ("profile", checkpoint.profile().name().to_owned()),
        ("template", checkpoint.conv_template().name().to_owned()),
        ("answers end", ends(checkpoint)),
        ("tokenizer", tokenizer.source().to_owned()),
        ("pictures", format!("{geometry}; {} tokens each", seen.picture_tokens)),
        (
            "memory",
            format!(
                "{} as float32, {} in 16 bits",
                memory(&seen, Dtype::F32),
                memory(&seen, Dtype::F16)
            ),
        ),
        ("files", format!("{} with weights", seen.weight_files.len())),
    ];
    for (name, value) in lines {
        writeln!(out, "{name:<11} {value}")?;
    }
    let mut table = Table::new(&[
        left("module"),
        left("kind"),
        right("tensors"),
        right("parameters"),
        left("stored as"),
    ]);
    let llama = &checkpoint.llama;
    let tower = &checkpoint.tower;
    let decoder = format!(
        "Llama, {} layers of {}, {} heads ({} key/value), vocabulary {}",
        llama.layers, llama.hidden_size, llama.heads, llama.kv_heads, llama.vocabulary
    );
    let vision = format!(
        "{}, {} px, patch {}, state {} of {}",
        tower.kind, tower.image_size, tower.patch_size, tower.select_state, tower.layers
    );
    row(&mut table, "vision tower", vision, &seen.tower);
    row(
        &mut table,
        "projector",
        checkpoint.projector.kind.to_string(),
        &seen.projector,
    );
    row(&mut table, "decoder", decoder, &seen.decoder);
    table.write_text(out)
}

/// What ends an answer, and the stop string that some scripts look for.
fn ends(checkpoint: &Checkpoint) -> String {
    let ids: Vec<String> = checkpoint.generation.eos.iter().map(u32::to_string).collect();
    let tokens = format!("at token {}", ids.join(" or "));
    match checkpoint.conv_template().stop_string() {
        Some(string) => format!("{tokens}; the template's stop string is {string:?}"),
        None => tokens,
    }
}

fn row(table: &mut Table, name: &str, kind: String, module: &ModuleInspection) {
    let dtypes: Vec<String> = module.dtypes.iter().map(|dtype| format!("{dtype}")).collect();
    table.row([
        name.to_owned(),
        kind,
        module.tensors.to_string(),
        module.parameters.to_string(),
        dtypes.join(", "),
    ]);
}

/// What the used weights take.
fn memory(seen: &Inspection, dtype: Dtype) -> String {
    let bytes = seen.weight_memory(dtype) as f64;
    if bytes < 1e8 {
        format!("{:.1} MB", bytes / 1e6)
    } else {
        format!("{:.1} GB", bytes / 1e9)
    }
}
