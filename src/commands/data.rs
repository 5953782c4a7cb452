//! `data check`: which data lie in a folder, which release they are, and whether every picture can be read.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use benchmarks::{Benchmark, DataError, DataSource, Dataset, Picture, Provenance, SourceFile};
use model_adapters::picture::decode;

use crate::cli::DataCheckArgs;
use crate::exit::Exit;
use crate::fault::Fault;

/// How many unreadable pictures are named.
const FAULTS_SHOWN: usize = 5;
/// How many files of no known release are named one by one: MME's release has a thousand.
const UNKNOWN_SHOWN: usize = 4;
/// Digits of a hash that are shown and compared.
const HASH_DIGITS: usize = 16;

/// Prints what is there; an error where a picture is missing or broken, or where nothing is there.
pub fn check(args: &DataCheckArgs) -> Result<Exit, Fault> {
    if !args.data.is_dir() {
        return Err(Fault::User(format!(
            "`{}` is no folder; name the one that holds the benchmarks' data",
            args.data.display()
        )));
    }
    let source = DataSource {
        root: args.data.clone(),
        images: args.images.clone(),
        split: args.split.clone(),
        grades: None,
    };
    let mut out = io::stdout().lock();
    let (mut checked, mut faulty, mut unreadable) = (0, 0, 0);
    for &benchmark in benchmarks::REGISTRY {
        let named = args.tasks.as_ref().map(|tasks| tasks.0.contains(&benchmark.task()));
        if named == Some(false) {
            continue;
        }
        match benchmark.load(&source) {
            // Not asked for by name and not there: nothing to say.
            Err(DataError::NotFound { .. }) if named.is_none() => {}
            Err(error) if named.is_some() => return Err(error.into()),
            // The others are looked at all the same.
            Err(error) => {
                let said = writeln!(out, "{}\n  fault      {error}", benchmark.task());
                said.map_err(|error| Fault::stdout(&error))?;
                checked += 1;
                unreadable += 1;
            }
            Ok(dataset) => {
                let pictures = Pictures::read(dataset.as_ref());
                write(&mut out, benchmark, dataset.as_ref(), &pictures).map_err(|error| Fault::stdout(&error))?;
                checked += 1;
                faulty += pictures.faults.len();
            }
        }
    }
    match (checked, faulty) {
        (0, _) => Err(Fault::User(format!(
            "no benchmark's data in `{}`; `list benchmarks` says which are known",
            args.data.display()
        ))),
        (_, 0) if unreadable == 0 => Ok(Exit::Done),
        (_, 0) => Err(Fault::User(format!(
            "the data of {unreadable} benchmarks cannot be read; the faults stand above"
        ))),
        _ => Err(Fault::User(format!(
            "{faulty} pictures are missing or cannot be read; their questions would have no answer"
        ))),
    }
}

/// Every picture of a dataset, read and decoded once.
struct Pictures {
    total: usize,
    /// How many were not found when the data were loaded.
    absent: usize,
    faults: BTreeMap<String, String>,
}

impl Pictures {
    fn read(dataset: &dyn Dataset) -> Self {
        let mut seen = HashSet::new();
        // In the order of the data: what lies side by side in a Parquet file is read once.
        let pictures: Vec<&Picture> = dataset
            .samples()
            .iter()
            .flat_map(|sample| &sample.pictures)
            .filter(|picture| seen.insert(picture.key()))
            .collect();
        let next = AtomicUsize::new(0);
        let faults = Mutex::new(BTreeMap::new());
        let work = || {
            while let Some(picture) = pictures.get(next.fetch_add(1, Ordering::Relaxed)) {
                let decoded = picture.read().map_err(|error| error.to_string());
                let decoded = decoded.and_then(|bytes| decode(&bytes).map_err(|fault| fault.to_string()));
                if let (Err(reason), Ok(mut faults)) = (decoded, faults.lock()) {
                    faults.insert(picture.key().to_owned(), reason);
                }
            }
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(work);
            }
        });
        Self {
            total: pictures.len(),
            absent: pictures.iter().filter(|picture| !picture.is_present()).count(),
            faults: faults.into_inner().unwrap_or_default(),
        }
    }
}

fn write(out: &mut dyn Write, benchmark: &dyn Benchmark, dataset: &dyn Dataset, pictures: &Pictures) -> io::Result<()> {
    let found = dataset.provenance();
    writeln!(out, "{}", benchmark.task())?;
    writeln!(out, "  layout     {}", found.layout)?;
    let paper = if found.split == benchmark.default_split() {
        "the papers'"
    } else {
        "not the papers'"
    };
    writeln!(out, "  split      {} ({paper})", found.split)?;
    writeln!(out, "  questions  {}", dataset.samples().len())?;
    writeln!(
        out,
        "  pictures   {}, {} readable",
        pictures.total,
        pictures.total - pictures.faults.len()
    )?;
    write_files(out, benchmark, &found.files)?;
    for remark in dataset.remarks() {
        writeln!(out, "  remark     {remark}")?;
    }
    write_faults(out, found, pictures)
}

fn write_files(out: &mut dyn Write, benchmark: &dyn Benchmark, files: &[SourceFile]) -> io::Result<()> {
    let mut unknown = Vec::new();
    for file in files {
        let hash: String = file.sha256.chars().take(HASH_DIGITS).collect();
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        match benchmark.known_files().iter().find(|known| known.sha256 == hash) {
            Some(known) => writeln!(out, "  file       {name}: {} ({hash})", known.what)?,
            None => unknown.push((name, hash)),
        }
    }
    if unknown.len() > UNKNOWN_SHOWN {
        return writeln!(out, "  files      {} of no release known here", unknown.len());
    }
    for (name, hash) in unknown {
        writeln!(out, "  file       {name}: no release known here ({hash})")?;
    }
    Ok(())
}

fn write_faults(out: &mut dyn Write, found: &Provenance, pictures: &Pictures) -> io::Result<()> {
    if pictures.absent == pictures.total && found.picture_folders.is_empty() {
        return writeln!(
            out,
            "  fault      this layout has no pictures; its questions can be scored, not asked"
        );
    }
    if pictures.absent == pictures.total {
        let folders: Vec<String> = found
            .picture_folders
            .iter()
            .map(|place| format!("`{}`", place.display()))
            .collect();
        let folders = folders.join(", ");
        return writeln!(
            out,
            "  fault      no picture is there; looked in {folders}; put them there, or name their folder with --images"
        );
    }
    for (name, reason) in pictures.faults.iter().take(FAULTS_SHOWN) {
        if reason.contains(name) {
            writeln!(out, "  fault      {reason}")?;
        } else {
            writeln!(out, "  fault      {name}: {reason}")?;
        }
    }
    if pictures.faults.len() > FAULTS_SHOWN {
        writeln!(out, "  fault      and {} more", pictures.faults.len() - FAULTS_SHOWN)?;
    }
    Ok(())
}
