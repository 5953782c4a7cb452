//! What a model's files hold, as SHA-256, and the cache that keeps large files from being hashed twice.
//!
//! Small files are hashed when their hashes are asked for. A large one that the cache does not know is hashed by whoever
//! reads it anyway ([`Fingerprint::supply`]), so that it comes from disk once; only what nobody has read by then is read
//! for its hash.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
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

/// The files of a model, with the hashes that are known.
pub struct Fingerprint {
    files: Vec<Job>,
    cache: Option<PathBuf>,
    records: Option<Vec<(String, FileRecord)>>,
}

/// One file on its way to its hash.
struct Job {
    file: ModelFile,
    /// As it was when it was first looked at.
    key: Option<Key>,
    sha256: Option<String>,
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
    /// Looks every file up in the cache.
    pub fn begin(files: Vec<ModelFile>, cache: Option<PathBuf>) -> Self {
        let known = cache.as_deref().map(Hashes::read).unwrap_or_default();
        let job = |file: ModelFile| {
            let key = Key::of(&file.path);
            let sha256 = key.as_ref().and_then(|key| known.find(key));
            Job { file, key, sha256 }
        };
        Self {
            files: files.into_iter().map(job).collect(),
            cache,
            records: None,
        }
    }

    /// Large files whose hashes are not known.
    pub fn missing(&self) -> Vec<PathBuf> {
        let open = self.files.iter().filter(|job| job.sha256.is_none());
        let large = open.filter(|job| job.key.as_ref().is_some_and(|key| key.bytes >= WORTH_KEEPING));
        large.map(|job| job.file.path.clone()).collect()
    }

    /// Takes the hash of a file from who has read it.
    #[cfg(any(feature = "libtorch", test))]
    pub fn supply(&mut self, path: &Path, sha256: &str) {
        if let Some(job) = self.files.iter_mut().find(|job| job.file.path == path) {
            job.sha256 = Some(sha256.to_owned());
        }
    }

    /// The files with their hashes, by name; the first call reads those whose hashes are not known.
    pub fn records(&mut self) -> Result<&[(String, FileRecord)], Fault> {
        if self.records.is_none() {
            self.hash_missing()?;
            let mut records = Vec::with_capacity(self.files.len());
            let mut kept = Vec::new();
            for job in &self.files {
                let unchanged = job
                    .key
                    .as_ref()
                    .filter(|key| Key::of(&job.file.path).as_ref() == Some(*key));
                let (Some(key), Some(sha256)) = (unchanged, &job.sha256) else {
                    return Err(Fault::User(format!(
                        "`{}` changed while it was read",
                        job.file.path.display()
                    )));
                };
                if key.is_worth_keeping() {
                    kept.push(Entry {
                        key: key.clone(),
                        sha256: sha256.clone(),
                    });
                }
                let record = FileRecord {
                    path: job.file.path.clone(),
                    bytes: key.bytes,
                    modified: key.modified,
                    sha256: sha256.clone(),
                };
                records.push((job.file.name.clone(), record));
            }
            if let Some(cache) = self.cache.as_deref().filter(|_| !kept.is_empty()) {
                Hashes::add(cache, kept);
            }
            self.records = Some(records);
        }
        Ok(self.records.as_deref().unwrap_or_default())
    }

    /// A few at a time, the largest first, so that none is left over at the end.
    fn hash_missing(&mut self) -> Result<(), Fault> {
        let mut open: Vec<&mut Job> = self.files.iter_mut().filter(|job| job.sha256.is_none()).collect();
        open.sort_by_key(|job| job.key.as_ref().map(|key| key.bytes));
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(open.len());
        let queue = Mutex::new(open);
        let work = || -> Result<(), Fault> {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            while let Some(job) = next() {
                job.sha256 = Some(file_sha256(&job.file.path)?);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| {
                let died = |_| Err(Fault::Bug("hashing a file failed".to_owned()));
                worker.join().unwrap_or_else(died)
            })
        })
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
    fn a_hash_that_is_supplied_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, file) = (folder.path().join("hashes.json"), weights(folder.path(), 4));
        let small = ModelFile {
            name: "config.json".to_owned(),
            path: folder.path().join("config.json"),
        };
        std::fs::write(&small.path, "{}").unwrap();
        let mut fingerprint = Fingerprint::begin(vec![small, file.clone()], Some(cache.clone()));
        assert_eq!(fingerprint.missing(), std::slice::from_ref(&file.path));
        fingerprint.supply(&file.path, "supplied");
        assert!(fingerprint.missing().is_empty());
        assert_eq!(fingerprint.records().unwrap()[1].1.sha256, "supplied");
        assert_eq!(sha256(&file, &cache), "supplied", "kept for the next run");
        let path = file.path.clone();
        let mut late = Fingerprint::begin(vec![file], None);
        late.supply(&path, "supplied");
        std::fs::write(&path, "changed").unwrap();
        let error = late.records().unwrap_err().to_string();
        assert!(error.ends_with("changed while it was read"), "{error}");
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
