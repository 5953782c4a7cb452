//! `pictures.jsonl`: the SHA-256 of every picture that an answer rests on, in the order in which they were first
//! answered about.
//!
//! A picture is hashed where its bytes are read for the model, on the thread that reads it. One that is another than
//! when the run first asked about it fails its sample, so that no run rests on two versions of a picture.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use benchmarks::{Picture, Sample};
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::hash::{bytes_sha256, text_sha256};
use crate::journal;

/// A picture as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureRecord {
    /// Its key in the benchmark, as in `samples.parquet`.
    pub picture: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// All pictures of a run in one hash, for the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureDigest {
    /// How many there are.
    pub count: usize,
    /// SHA-256 over key and hash of each, by key, each followed by a zero byte.
    pub sha256: String,
}

impl PictureDigest {
    /// Of some pictures.
    pub fn of(records: &BTreeMap<String, PictureRecord>) -> Self {
        let text: String = records
            .values()
            .map(|record| format!("{}\0{}\0", record.picture, record.sha256))
            .collect();
        Self {
            count: records.len(),
            sha256: text_sha256(&text),
        }
    }

    /// Of a `pictures.jsonl`; `None` where there is none.
    pub fn of_file(path: &Path) -> Result<Option<Self>, Fault> {
        Ok(path.exists().then_some(Self::of(&read(path)?)))
    }
}

/// The records of a `pictures.jsonl`, by key; none where there is no file.
pub fn read(path: &Path) -> Result<BTreeMap<String, PictureRecord>, Fault> {
    let mut records = BTreeMap::new();
    if path.exists() {
        journal::scan(path, |record: PictureRecord| {
            records.insert(record.picture.clone(), record);
        })?;
    }
    Ok(records)
}

/// The pictures that a run has looked at, shared with the threads that read them.
#[derive(Debug, Clone, Default)]
pub struct PictureHashes(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// On disk, by key.
    recorded: HashMap<String, String>,
    /// Read and not answered about yet.
    fresh: HashMap<String, PictureRecord>,
}

impl PictureHashes {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what earlier stretches have recorded.
    pub fn know(&self, records: BTreeMap<String, PictureRecord>) {
        let recorded = records.into_values().map(|record| (record.picture, record.sha256));
        self.seen().recorded.extend(recorded);
    }

    /// Reads a picture and notes its hash.
    ///
    /// # Errors
    ///
    /// A picture that cannot be read, or that has changed since the run first asked about it; in words for the journal.
    pub fn read(&self, picture: &Picture) -> Result<Vec<u8>, String> {
        let bytes = picture.read().map_err(|error| error.to_string())?;
        let record = PictureRecord {
            picture: picture.key().to_owned(),
            bytes: bytes.len() as u64,
            sha256: bytes_sha256(&bytes),
        };
        let mut seen = self.seen();
        match seen.recorded.get(&record.picture) {
            Some(sha256) if *sha256 != record.sha256 => Err(format!(
                "picture `{}` is another file than when this run first asked about it; put that back, or start anew \
                 with --fresh",
                record.picture
            )),
            Some(_) => Ok(bytes),
            None => {
                seen.fresh.insert(record.picture.clone(), record);
                Ok(bytes)
            }
        }
    }

    /// The pictures of an answered sample that are not on record yet; they count as recorded from now on.
    pub fn settle(&self, sample: &Sample) -> Vec<PictureRecord> {
        let mut seen = self.seen();
        let keys = sample.pictures.iter().map(Picture::key);
        let settled: Vec<PictureRecord> = keys.filter_map(|key| seen.fresh.remove(key)).collect();
        let recorded = settled
            .iter()
            .map(|record| (record.picture.clone(), record.sha256.clone()));
        seen.recorded.extend(recorded);
        settled
    }
}

#[cfg(test)]
mod tests {
    use benchmarks::SampleId;

    use super::*;

    #[test]
    fn a_picture_is_recorded_once_it_is_answered_about_and_must_stay_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        std::fs::write(&path, "abc").unwrap();
        let picture = Picture::file("a.jpg", path.clone());
        let sample = Sample {
            id: SampleId::new("1"),
            source_id: String::new(),
            pictures: vec![picture.clone()],
            question: String::new(),
            category: None,
            reference: None,
            scoring_group: 0,
        };
        let hashes = PictureHashes::default();
        assert_eq!(hashes.settle(&sample), []);
        assert_eq!(hashes.read(&picture), Ok(b"abc".to_vec()));
        std::fs::write(&path, "abd").unwrap();
        assert!(hashes.read(&picture).is_ok(), "mended before any answer");
        let settled = hashes.settle(&sample);
        let [record] = settled.as_slice() else {
            panic!("{settled:?}")
        };
        assert_eq!((record.bytes, record.sha256.clone()), (3, bytes_sha256(b"abd")));
        assert_eq!(hashes.settle(&sample), []);
        assert!(hashes.read(&picture).is_ok());
        std::fs::write(&path, "abc").unwrap();
        assert!(
            hashes
                .read(&picture)
                .unwrap_err()
                .starts_with("picture `a.jpg` is another file")
        );
        let later = PictureHashes::default();
        later.know(BTreeMap::from([("a.jpg".to_owned(), record.clone())]));
        assert!(later.read(&picture).is_err(), "another stretch of the run");
    }

    #[test]
    fn one_hash_stands_for_all_whatever_their_order() {
        let record = |picture: &str, sha256: &str| {
            let record = PictureRecord {
                picture: picture.to_owned(),
                bytes: 1,
                sha256: sha256.to_owned(),
            };
            (picture.to_owned(), record)
        };
        let digest = |records: &[(String, PictureRecord)]| PictureDigest::of(&records.iter().cloned().collect());
        let (a, b) = (record("a", "1"), record("b", "2"));
        assert_eq!(digest(&[a.clone(), b.clone()]), digest(&[b, a.clone()]));
        assert_ne!(digest(std::slice::from_ref(&a)), digest(&[record("a", "2")]));
        assert_eq!(digest(&[a]).sha256, text_sha256("a\u{0}1\u{0}"));
    }
}
