//! `inspect`: what the loader sees in a checkpoint. Reads configuration and tensor headers, no weights.

use std::io::{self, Write};

use model_adapters::Script;
use model_adapters::checkpoint::{Checkpoint, Dtype, Fit, ModuleInspection};
use model_adapters::picture::Geometry;
use model_adapters::profile::Profile;
use model_adapters::tokenizer::Tokenizer;

use crate::cli::InspectArgs;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::table::{Table, left, right};

/// Names of one kind that are listed at most.
const LISTED: usize = 100;

/// Prints what a checkpoint is, as far as it can be told; what keeps it from being loaded comes last, as the error.
pub fn run(args: &InspectArgs) -> Result<Exit, Fault> {
    let settings = args.checkpoint.settings();
    let checkpoint = Checkpoint::examine(&args.model, &settings)?;
    for remark in &checkpoint.remarks {
        eprintln!("{remark}");
    }
    let profile = args.profile.unwrap_or_else(|| checkpoint.profile());
    let tokenizer = checkpoint.open_tokenizer(profile);
    let mut out = io::stdout().lock();
    write(&mut out, &checkpoint, profile, tokenizer.as_ref().ok())
        .and_then(|()| write_fit(&mut out, &checkpoint.fit))
        .and_then(|()| out.flush())
        .map_err(|error| Fault::stdout(&error))?;
    checkpoint.require_fit(&settings)?;
    let tokenizer = tokenizer.map_err(|error| Fault::User(error.to_string()))?;
    checkpoint.vocabulary_rows(&tokenizer)?;
    Ok(Exit::Done)
}

/// The tensors that do not fit, one a line.
fn write_fit(out: &mut dyn Write, fit: &Fit) -> io::Result<()> {
    let kinds = [
        ("missing", &fit.missing),
        ("unexpected", &fit.unexpected),
        ("wrong shape", &fit.misshapen),
        ("wrong type", &fit.mistyped),
    ];
    for (kind, names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
        writeln!(out, "{kind}: {}", names.len())?;
        for name in names.iter().take(LISTED) {
            writeln!(out, "  {name}")?;
        }
        if names.len() > LISTED {
            writeln!(out, "  and {} more", names.len() - LISTED)?;
        }
    }
    Ok(())
}

fn write(
    out: &mut dyn Write,
    checkpoint: &Checkpoint,
    profile: Profile,
    tokenizer: Option<&Tokenizer>,
) -> io::Result<()> {
    let seen = checkpoint.inspect();
    let configured = checkpoint.preprocess.geometry;
    let mut pictures = way(profile.geometry(Script::Short, configured)).to_owned();
    // Some programs see the pictures of open questions otherwise.
    let open = profile.geometry(Script::Open, configured);
    if open != profile.geometry(Script::Short, configured) {
        pictures += &format!(" (open questions: {})", way(open));
    }
    let (wide, half) = (
        size(seen.weight_memory(Dtype::F32)),
        size(seen.weight_memory(Dtype::F16)),
    );
    let four = seen
        .four_bit_memory()
        .map(|bytes| format!(", {} as int4", size(bytes)))
        .unwrap_or_default();
    let lines = [
        ("checkpoint", checkpoint.folder.display().to_string()),
        ("layout", seen.layout.to_string()),
        ("profile", profile.name().to_owned()),
        ("template", checkpoint.conv_template().name().to_owned()),
        ("answers end", ends(checkpoint)),
        (
            "tokenizer",
            tokenizer.map_or("none that can be read", Tokenizer::source).to_owned(),
        ),
        ("pictures", format!("{pictures}; {} tokens each", seen.picture_tokens)),
        ("on a CPU", format!("{wide} as float32 (auto), {half} in 16 bits{four}")),
        (
            "on CUDA",
            format!("{half} as float16 (auto) or bfloat16, {wide} as float32{four}"),
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
    let mut vision = format!(
        "{}, {} px, patch {}, state {} of {}",
        tower.kind, tower.image_size, tower.patch_size, tower.select_state, tower.layers
    );
    if let Some(s2) = &tower.s2 {
        let scales: Vec<String> = s2.sides().iter().map(ToString::to_string).collect();
        vision += &format!(", S2 at {}", scales.join(" and "));
    }
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

/// A picture's way to the tower, in words.
const fn way(geometry: Geometry) -> &'static str {
    match geometry {
        Geometry::Pad => "padded to a square, then the processor",
        Geometry::Stretch => "stretched to the processor's size",
        Geometry::Processor => "the processor alone",
    }
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

fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    if bytes < 1e8 {
        format!("{:.1} MB", bytes / 1e6)
    } else {
        format!("{:.1} GB", bytes / 1e9)
    }
}
