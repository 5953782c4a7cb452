//! `predictions.jsonl`: the answers of a run, appended one line at a time as they come.
//!
//! Each line is one JSON object that ends in the CRC-32 of the text before it. A line is written with one system
//! call, so that a killed run leaves at most one torn line, the last; the next run cuts it off. The last line of
//! an id wins.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead as _, BufReader, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model_adapters::Answer;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// What stands before the checksum at the end of a line.
const CHECKSUM: &str = ",\"crc32\":\"";
/// Hexadecimal digits of the checksum, then `"}`.
const CHECKSUM_TAIL: usize = 8 + 2;

const LOCK_TRIES: usize = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(30);

/// One line of the journal. A failed sample has `error` in place of `answer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The sample's id.
    pub id: String,
    /// The answer as it is scored: special tokens skipped, stripped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was asked: the text without conversation template.
    pub prompt: String,
    /// Positions of the spliced prompt, picture tokens included; 0 for replayed answers.
    #[serde(default)]
    pub prompt_tokens: usize,
    /// Generated tokens, the end token included; 0 for replayed answers.
    #[serde(default)]
    pub new_tokens: usize,
    /// Their ids; kept with `--ignore-eos`, where programs are compared token by token, else absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<u32>,
    /// `end-token`, `length` or `replayed`; absent where there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<String>,
    /// The spliced prompt was cut to the model's longest sequence; absent where it was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// The id of the equal question whose answer this is; absent where the model was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<String>,
}

impl Entry {
    /// The line of an answer to `prompt`.
    pub fn of(answer: Answer, prompt: String) -> Self {
        let failed = Self {
            id: answer.id,
            answer: None,
            error: None,
            prompt,
            prompt_tokens: 0,
            new_tokens: 0,
            ids: Vec::new(),
            finish: None,
            truncated: false,
            repeats: None,
        };
        match answer.outcome {
            Ok(said) => Self {
                answer: Some(said.text),
                prompt_tokens: said.prompt_tokens,
                new_tokens: said.new_tokens,
                ids: said.ids,
                finish: Some(said.finish.id().to_owned()),
                truncated: said.truncated,
                repeats: said.repeats,
                ..failed
            },
            Err(failure) => Self {
                error: Some(failure.0),
                ..failed
            },
        }
    }
}

/// A journal of `T`s open for appending. Holds an exclusive lock on its file.
#[derive(Debug)]
pub struct Journal<T = Entry> {
    path: PathBuf,
    file: File,
    lines: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// Opens or creates `path` and cuts a torn last line off. A second process on the same file is refused.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)
            .map_err(|error| Fault::file("create", path, &error))?;
        lock(&file, path)?;
        let sound = scan(path, |_: T| ())?;
        file.set_len(sound).map_err(|error| Fault::write(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            lines: PhantomData,
        })
    }

    /// Appends one line and hands it to the system before returning.
    pub fn append(&mut self, entry: &T) -> Result<(), Fault> {
        let line = seal(entry)?;
        self.file
            .write_all(line.as_bytes())
            .map_err(|error| Fault::write(&self.path, &error))
    }
}

/// Takes the lock, or says who has it. A process that was just killed may hold it for an instant longer.
fn lock(file: &File, path: &Path) -> Result<(), Fault> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(Fault::file("lock", path, &error)),
        }
    }
    Err(Fault::User(format!(
        "`{}` is being written by another run; wait for it, or give this one another --shard or --out",
        path.display()
    )))
}

/// Reads the entries of a journal that may be absent or still growing; the last of each id wins.
pub fn read(path: &Path, entries: &mut HashMap<String, Entry>) -> Result<(), Fault> {
    if path.exists() {
        scan(path, |entry: Entry| {
            entries.insert(entry.id.clone(), entry);
        })?;
    }
    Ok(())
}

/// Passes every sound line on and returns the length of the file up to the end of the last one.
pub fn scan<T: DeserializeOwned>(path: &Path, mut each: impl FnMut(T)) -> Result<u64, Fault> {
    let file = File::open(path).map_err(|error| Fault::read(path, &error))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut sound = 0;
    let mut torn: Option<usize> = None;
    for number in 1.. {
        line.clear();
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(|error| Fault::read(path, &error))?;
        if read == 0 {
            break;
        }
        if let Some(number) = torn {
            return Err(Fault::User(format!(
                "`{}`, line {number}: damaged; delete this line to have its question asked again, or start anew with \
                 --fresh",
                path.display()
            )));
        }
        match open_seal(&line) {
            Some(entry) => {
                each(entry);
                sound += read as u64;
            }
            None => torn = Some(number),
        }
    }
    Ok(sound)
}

fn seal<T: Serialize>(entry: &T) -> Result<String, Fault> {
    let mut line =
        serde_json::to_string(entry).map_err(|error| Fault::Bug(format!("a journal entry has no JSON: {error}")))?;
    line.pop();
    let checksum = crc32fast::hash(line.as_bytes());
    line.push_str(CHECKSUM);
    line.push_str(&format!("{checksum:08x}\"}}\n"));
    Ok(line)
}

fn open_seal<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (body, tail) = line.split_at_checked(line.len().checked_sub(CHECKSUM.len() + CHECKSUM_TAIL)?)?;
    let checksum = tail.strip_prefix(CHECKSUM)?.strip_suffix("\"}")?;
    let checksum = u32::from_str_radix(checksum, 16).ok()?;
    if crc32fast::hash(body.as_bytes()) != checksum {
        return None;
    }
    serde_json::from_str(line).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(id: &str, answer: &str) -> Entry {
        Entry {
            id: id.to_owned(),
            answer: Some(answer.to_owned()),
            error: None,
            prompt: "Is there a kite in the image?".to_owned(),
            prompt_tokens: 638,
            new_tokens: 2,
            ids: Vec::new(),
            finish: Some("end-token".to_owned()),
            truncated: false,
            repeats: None,
        }
    }

    fn entries(path: &Path) -> HashMap<String, Entry> {
        let mut entries = HashMap::new();
        read(path, &mut entries).unwrap();
        entries
    }

    #[test]
    fn the_line_on_disk_is_as_documented() {
        insta::assert_snapshot!(seal(&entry("random/a/kite", "No")).unwrap().trim_end(), @r#"{"id":"random/a/kite","answer":"No","prompt":"Is there a kite in the image?","prompt_tokens":638,"new_tokens":2,"finish":"end-token","crc32":"15164e9d"}"#);
    }

    #[test]
    fn the_last_line_of_an_id_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        for entry in [entry("a", "Yes"), entry("b", "No"), entry("a", "No")] {
            journal.append(&entry).unwrap();
        }
        assert_eq!(entries(&path).get("a"), Some(&entry("a", "No")));
        assert_eq!(entries(&path).len(), 2);
    }

    #[test]
    fn a_torn_last_line_is_cut_off_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.jsonl");
        let first = seal(&entry("a", "Yes")).unwrap();
        let second = seal(&entry("b", "No")).unwrap();
        for torn in 1..second.len() {
            std::fs::write(&path, format!("{first}{}", second.get(..torn).unwrap())).unwrap();
            let mut journal = Journal::open(&path).unwrap();
            assert_eq!(entries(&path).len(), 1, "torn after {torn} bytes");
            journal.append(&entry("b", "Yes")).unwrap();
            assert_eq!(entries(&path).get("b"), Some(&entry("b", "Yes")));
        }
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.jsonl");
        let sound = seal(&entry("a", "Yes")).unwrap();
        std::fs::write(&path, format!("{sound}{}{sound}", sound.replace("Yes", "No"))).unwrap();
        let error = Journal::<Entry>::open(&path).unwrap_err().to_string();
        assert!(error.contains("line 2: damaged"), "{error}");
    }

    #[test]
    fn a_second_writer_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.jsonl");
        let _first = Journal::<Entry>::open(&path).unwrap();
        let error = Journal::<Entry>::open(&path).unwrap_err().to_string();
        assert!(error.contains("being written by another run"), "{error}");
    }

    #[test]
    fn a_full_disk_is_said_not_swallowed() {
        let mut journal = Journal {
            path: PathBuf::from("/dev/full"),
            file: OpenOptions::new().append(true).open("/dev/full").unwrap(),
            lines: PhantomData,
        };
        let error = journal.append(&entry("a", "Yes")).unwrap_err().to_string();
        assert!(error.starts_with("cannot write `/dev/full`"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(id in ".*", answer in ".*", error in proptest::option::of(".*")) {
            let entry = Entry { error, ..entry(&id, &answer) };
            prop_assert_eq!(open_seal(seal(&entry).unwrap().as_bytes()), Some(entry));
        }

        #[test]
        fn any_changed_byte_is_noticed(position in 0_usize..120, bit in 0_u8..8) {
            let mut line = seal(&entry("random/a/kite", "No")).unwrap().into_bytes();
            if let Some(byte) = line.get_mut(position) { *byte ^= 1 << bit; }
            prop_assert_eq!(open_seal::<Entry>(&line), None);
        }
    }
}
