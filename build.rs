//! Lets the command find libtorch at run time, wherever the build found it, and puts the golden checks of
//! `doctor --parity` into it.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The tiny checkpoints with the references' results, and the pictures they were made of.
const GOLDEN: &str = "tests/fixtures/checkpoints";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={GOLDEN}");
    if let Ok(lib) = env::var("DEP_VILA_BENCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join(GOLDEN);
    let mut files = Vec::new();
    gather(&root, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&root).unwrap_or(file);
        table += &format!("    ({:?}, include_bytes!({:?})),\n", name, file);
    }
    table += "]\n";
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("golden.rs"), table)
}

/// Every file below `folder` but the READMEs.
fn gather(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, files)?;
        } else if path.extension().is_none_or(|ending| ending != "md") {
            files.push(path);
        }
    }
    Ok(())
}
