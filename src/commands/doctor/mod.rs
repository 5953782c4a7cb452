//! `doctor`: what this machine and this build can do.

#[cfg(feature = "libtorch")]
mod parity;

use std::io::{self, Write};
use std::path::Path;

use crate::cli::DoctorArgs;
use crate::exit::Exit;
use crate::fault::Fault;

/// Prints one line a fact and never fails for what it finds; with `--parity` compares this build with the references.
pub fn run(args: &DoctorArgs) -> Result<Exit, Fault> {
    match &args.parity {
        None => facts(),
        Some(checkpoint) => parity(checkpoint.as_deref(), args.reference.as_deref()),
    }
}

#[cfg(feature = "libtorch")]
fn parity(checkpoint: Option<&Path>, reference: Option<&Path>) -> Result<Exit, Fault> {
    parity::run(checkpoint, reference)
}

#[cfg(not(feature = "libtorch"))]
fn parity(_: Option<&Path>, _: Option<&Path>) -> Result<Exit, Fault> {
    Err(Fault::User(
        "this vila-bench was built without libtorch and computes nothing that could be compared".to_owned(),
    ))
}

fn facts() -> Result<Exit, Fault> {
    let mut lines = vec![("vila-bench", env!("CARGO_PKG_VERSION").to_owned())];
    lines.extend(libtorch());
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    lines.push((
        "memory",
        format!(
            "{:.1} GB, {:.1} GB free",
            gb(system.total_memory()),
            gb(system.available_memory())
        ),
    ));
    let cores = std::thread::available_parallelism().map_or_else(|error| error.to_string(), |n| n.to_string());
    lines.push(("cores", cores));
    lines.push(("runs", folder("runs")));
    let mut out = io::stdout().lock();
    let mut write = || {
        lines
            .iter()
            .try_for_each(|(name, value)| writeln!(out, "{name:<11} {value}"))?;
        out.flush()
    };
    write().map_err(|error| Fault::stdout(&error))?;
    Ok(Exit::Done)
}

#[cfg(feature = "libtorch")]
fn libtorch() -> Vec<(&'static str, String)> {
    use model_adapters::runner::Libtorch;
    let libtorch = Libtorch::describe();
    vec![
        (
            "libtorch",
            libtorch.version.unwrap_or_else(|| "of unknown version".to_owned()),
        ),
        (
            "threads",
            format!(
                "{} in one operation ({}), {} operation at a time",
                libtorch.threads,
                libtorch.threads_by.words(),
                libtorch.interop_threads
            ),
        ),
        ("processor", libtorch.cpu_features.join(" ")),
        ("cuda", libtorch.cuda.to_string()),
    ]
}

#[cfg(not(feature = "libtorch"))]
fn libtorch() -> Vec<(&'static str, String)> {
    vec![(
        "libtorch",
        "not in this build: checkpoints cannot be run, answers can be scored and replayed".to_owned(),
    )]
}

fn folder(name: &str) -> String {
    let path = std::path::absolute(name).unwrap_or_else(|_| name.into());
    let nearest = path.ancestors().find(|path| path.exists());
    match nearest.map(tempfile::tempfile_in) {
        Some(Ok(_)) => format!("`{}` can be written", path.display()),
        Some(Err(error)) => format!("`{}` cannot be written: {error}", path.display()),
        None => format!("`{}` has no existing parent", path.display()),
    }
}

fn gb(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
