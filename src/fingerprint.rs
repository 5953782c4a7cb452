//! What a model's files hold, as SHA-256, and the cache that keeps large files from being hashed twice.
//!
//! Hashing runs beside everything else: it begins when the model is named, and its result is needed before the first
//! answer is written. A checkpoint that was never hashed is loaded meanwhile, so that its files come from disk once.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::artefact;
use crate::fault::Fault;
use crate::hash::file_sha256;
use crate::manifest::FileRecord;

/// Version of the cache file.
const FORMAT: u32 = 1;
/// Smaller files are hashed each time: that costs less than looking them up.
const WORTH_KEEPING: u64 = 1 << 20;
/// Entries that the cache keeps, the latest ones.
const MOST_ENTRIES: usize = 512;
/// A file changed less than this ago may be changed again within the same time stamp, and is not kept.
const SETTLED: Duration = Duration::from_secs(2);

/// A file by the name that it has whatever folder the model lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// Its name in the identity of a run.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// What `stat` says of a file: as long as it is the same, so is the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: i128,
}

/// One entry of the cache file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    key: Key,
    sha256: String,
}

/// The cache file, `hashes.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Hashes {
    format: u32,
    files: Vec<Entry>,
}

/// The files of a model, hashed or being hashed.
pub struct Fingerprint {
    files: Vec<ModelFile>,
    cache: Option<PathBuf>,
    workers: Vec<JoinHandle<Vec<Job>>>,
    /// Some of what the workers do takes time.
    large: bool,
    done: Vec<Job>,
    records: Option<Vec<(String, FileRecord)>>,
}

/// One file on its way through a worker.
struct Job {
    number: usize,
    path: PathBuf,
    key: Option<Key>,
    outcome: Result<String, Fault>,
}

/// `$XDG_CACHE_HOME/vila-bench/hashes.json`, below `~/.cache` where that is not set.
pub fn cache_file() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let folder = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    folder.map(|folder| folder.join("vila-bench/hashes.json"))
}

impl Fingerprint {
    /// Looks every file up in the cache and begins to hash those that are not there, a few at a time.
    pub fn begin(files: Vec<ModelFile>, cache: Option<PathBuf>) -> Self {
        let known = cache.as_deref().map(Hashes::read).unwrap_or_default();
        let (mut done, mut open) = (Vec::new(), Vec::new());
        for (number, file) in files.iter().enumerate() {
            let key = Key::of(&file.path);
            let kept = key.as_ref().and_then(|key| known.find(key));
            let job = |outcome| Job {
                number,
                path: file.path.clone(),
                key: key.clone(),
                outcome,
            };
            match kept {
                Some(sha256) => done.push(job(Ok(sha256))),
                None => open.push(job(Ok(String::new()))),
            }
        }
        // The largest first, so that none is left over at the end.
        open.sort_by_key(|job| job.key.as_ref().map(|key| key.bytes));
        let large = open
            .iter()
            .filter_map(|job| job.key.as_ref())
            .any(|key| key.bytes >= WORTH_KEEPING);
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(open.len());
        let queue = Arc::new(Mutex::new(open));
        let workers = (0..threads)
            .map(|_| {
                let queue = Arc::clone(&queue);
                std::thread::spawn(move || {
                    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let hashed = |job: Job| Job {
                        outcome: file_sha256(&job.path),
                        ..job
                    };
                    std::iter::from_fn(next).map(hashed).collect()
                })
            })
            .collect();
        Self {
            files,
            cache,
            workers,
            large,
            done,
            records: None,
        }
    }

    /// Whether some large file was not in the cache and its hash is still to come.
    pub fn is_running(&self) -> bool {
        self.large && self.workers.iter().any(|worker| !worker.is_finished())
    }

    /// The files with their hashes, by name; waits for them on the first call.
    pub fn records(&mut self) -> Result<&[(String, FileRecord)], Fault> {
        if self.records.is_none() {
            for worker in self.workers.drain(..) {
                let jobs = worker
                    .join()
                    .map_err(|_| Fault::Bug("hashing a file failed".to_owned()))?;
                self.done.extend(jobs);
            }
            self.done.sort_by_key(|job| job.number);
            let mut records = Vec::with_capacity(self.files.len());
            let mut kept = Vec::new();
            for (file, job) in self.files.iter().zip(self.done.drain(..)) {
                let sha256 = job.outcome?;
                let key = job.key.as_ref();
                let unchanged = key.filter(|key| Key::of(&file.path).as_ref() == Some(*key));
                let Some(key) = unchanged else {
                    return Err(Fault::User(format!(
                        "`{}` changed while it was read",
                        file.path.display()
                    )));
                };
                if key.is_worth_keeping() {
                    kept.push(Entry {
                        key: key.clone(),
                        sha256: sha256.clone(),
                    });
                }
                let record = FileRecord {
                    path: file.path.clone(),
                    bytes: key.bytes,
                    modified: key.modified,
                    sha256,
                };
                records.push((file.name.clone(), record));
            }
            if let Some(cache) = self.cache.as_deref().filter(|_| !kept.is_empty()) {
                Hashes::add(cache, kept);
            }
            self.records = Some(records);
        }
        Ok(self.records.as_deref().unwrap_or_default())
    }
}

impl Key {
    /// `None` where the file cannot be looked at; hashing it says why.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        })
    }

    fn is_worth_keeping(&self) -> bool {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let settled = i128::try_from(now.saturating_sub(SETTLED).as_nanos()).unwrap_or(i128::MAX);
        self.bytes >= WORTH_KEEPING && self.modified < settled
    }
}

impl Hashes {
    /// The cache; empty where there is none or it cannot be read: everything in it can be had again.
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let found: Option<Self> = serde_json::from_str(&text).ok();
        found.filter(|hashes| hashes.format == FORMAT).unwrap_or_default()
    }

    fn find(&self, key: &Key) -> Option<String> {
        let entry = self.files.iter().find(|entry| entry.key == *key)?;
        Some(entry.sha256.clone())
    }

    /// Puts entries behind those that the file holds by now. A cache that cannot be written costs the next run's time,
    /// not this one's result.
    fn add(path: &Path, entries: Vec<Entry>) {
        let mut files = Self::read(path).files;
        let before = files.clone();
        files.retain(|old| {
            entries
                .iter()
                .all(|new| (new.key.device, new.key.inode) != (old.key.device, old.key.inode))
        });
        files.extend(entries);
        files.drain(..files.len().saturating_sub(MOST_ENTRIES));
        if files == before {
            return;
        }
        let hashes = Self { format: FORMAT, files };
        let folder = path.parent().unwrap_or(Path::new("."));
        let written = artefact::create_folder(folder).and_then(|()| artefact::write_json(path, &hashes));
        if let Err(fault) = written {
            eprintln!("hashes are not kept for the next run: {fault}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// A file of 1 MiB of `byte`, changed a minute ago.
    fn weights(folder: &Path, byte: u8) -> ModelFile {
        let path = folder.join("model.safetensors");
        std::fs::write(&path, vec![byte; 1 << 20]).unwrap();
        let file = ModelFile {
            name: "model.safetensors".to_owned(),
            path,
        };
        set_modified(&file, Duration::from_secs(60));
        file
    }

    fn set_modified(file: &ModelFile, ago: Duration) {
        let time = SystemTime::now() - ago;
        File::options()
            .write(true)
            .open(&file.path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    fn sha256(file: &ModelFile, cache: &Path) -> String {
        let mut fingerprint = Fingerprint::begin(vec![file.clone()], Some(cache.to_owned()));
        fingerprint.records().unwrap()[0].1.sha256.clone()
    }

    /// Puts `kept` in place of the one hash of the cache, so that a test sees whether it is taken.
    fn mark(cache: &Path) {
        let mut hashes = Hashes::read(cache);
        hashes.files[0].sha256 = "kept".to_owned();
        artefact::write_json(cache, &hashes).unwrap();
    }

    #[test]
    fn a_file_is_hashed_once_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache/hashes.json");
        let file = weights(folder.path(), 1);
        let first = sha256(&file, &cache);
        assert_eq!(first, file_sha256(&file.path).unwrap());
        mark(&cache);
        assert_eq!(sha256(&file, &cache), "kept");
        set_modified(&file, Duration::from_secs(90));
        assert_eq!(sha256(&file, &cache), first, "another time");
        mark(&cache);
        let moved = ModelFile {
            path: folder.path().join("moved"),
            ..file.clone()
        };
        std::fs::rename(&file.path, &moved.path).unwrap();
        assert_eq!(sha256(&moved, &cache), "kept", "the same file at another place");
        assert_eq!(Hashes::read(&cache).files.len(), 1, "one entry a file");
    }

    #[test]
    fn small_and_fresh_files_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("hashes.json");
        let file = weights(folder.path(), 2);
        set_modified(&file, Duration::ZERO);
        sha256(&file, &cache);
        assert!(!cache.exists(), "just changed");
        std::fs::write(&file.path, "small").unwrap();
        set_modified(&file, Duration::from_secs(60));
        sha256(&file, &cache);
        assert!(!cache.exists(), "small");
    }

    #[test]
    fn a_cache_of_another_kind_is_no_cache() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("hashes.json");
        let file = weights(folder.path(), 3);
        let wanted = file_sha256(&file.path).unwrap();
        for text in [
            "",
            "{",
            "[]",
            r#"{"format":2,"files":[]}"#,
            r#"{"format":1,"files":[{"key":1}]}"#,
        ] {
            std::fs::write(&cache, text).unwrap();
            assert_eq!(sha256(&file, &cache), wanted, "{text}");
            assert_eq!(Hashes::read(&cache).files.len(), 1, "written anew");
        }
    }

    #[test]
    fn names_and_order_are_those_given() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<ModelFile> = (0..9)
            .map(|n| {
                let path = folder.path().join(format!("{n}"));
                std::fs::write(&path, vec![n; 1000 * usize::from(9 - n)]).unwrap();
                ModelFile {
                    name: format!("part/{n}"),
                    path,
                }
            })
            .collect();
        let mut fingerprint = Fingerprint::begin(files.clone(), None);
        let records = fingerprint.records().unwrap();
        assert_eq!(records.len(), files.len());
        for (file, (name, record)) in files.iter().zip(records) {
            assert_eq!((name, &record.path), (&file.name, &file.path));
            assert_eq!(record.sha256, file_sha256(&file.path).unwrap());
        }
        let gone = ModelFile {
            name: "gone".to_owned(),
            path: folder.path().join("gone"),
        };
        let error = Fingerprint::begin(vec![gone], None).records().unwrap_err().to_string();
        assert!(error.starts_with("cannot read `") && error.contains("gone"), "{error}");
    }
}
