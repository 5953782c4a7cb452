//! What a judge was asked and what it replied, call by call, appended as it comes. See `results/FORMATS.md` for every
//! field.
//!
//! The verdicts are not stored: they follow from the replies, which [`Transcript::replay`] hands to a judgement in
//! their order. A killed run so asks nothing twice, and a call whose message or settings have changed since, is asked.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use benchmarks::{Call, Judgement, Verdict};
use serde::{Deserialize, Serialize};

use super::client::Reply;
use crate::fault::Fault;
use crate::hash::text_sha256;
use crate::journal::{Journal, scan};

/// The version of a line.
const FORMAT: u32 = 1;

/// One judgement: an answer, who judges it, and which of several runs this is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The sample's id.
    pub id: String,
    /// SHA-256 of the answer, in hexadecimal: another answer is judged anew.
    pub answer_sha256: String,
    /// The model that judges, as the server was asked for it.
    pub judge: String,
    /// From 0.
    pub run: u32,
}

/// One line: a call and its reply, or why there was none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    format: u32,
    time: String,
    id: String,
    answer_sha256: String,
    judge: String,
    run: u32,
    call: u32,
    message_sha256: String,
    temperature: f64,
    max_tokens: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    served_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finish: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prompt_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completion_tokens: Option<u64>,
}

impl Entry {
    /// The line of call number `number` of a judgement.
    pub fn of(subject: &Subject, number: u32, call: &Call, outcome: Result<&Reply, &str>) -> Self {
        let reply = outcome.ok();
        Self {
            format: FORMAT,
            time: jiff::Timestamp::now().to_string(),
            id: subject.id.clone(),
            answer_sha256: subject.answer_sha256.clone(),
            judge: subject.judge.clone(),
            run: subject.run,
            call: number,
            message_sha256: text_sha256(&call.message),
            temperature: call.temperature,
            max_tokens: call.max_tokens,
            reply: reply.map(|reply| reply.content.clone()),
            error: outcome.err().map(str::to_owned),
            served_by: reply.and_then(|reply| reply.served_by.clone()),
            finish: reply.and_then(|reply| reply.finish.clone()),
            prompt_tokens: reply.and_then(|reply| reply.prompt_tokens),
            completion_tokens: reply.and_then(|reply| reply.completion_tokens),
        }
    }

    /// The reply, if this is the line of that very call.
    fn reply_to(&self, call: &Call) -> Option<&str> {
        let same = self.temperature == call.temperature
            && self.max_tokens == call.max_tokens
            && self.message_sha256 == text_sha256(&call.message);
        self.reply.as_deref().filter(|_| same)
    }
}

/// The replies that a transcript holds.
#[derive(Debug, Default)]
pub struct Transcript {
    replies: HashMap<Subject, HashMap<u32, Entry>>,
}

impl Transcript {
    /// Reads the file at `path`, which may be absent.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let mut transcript = Self::default();
        let mut newer = None;
        if path.exists() {
            scan(path, |entry: Entry| {
                if entry.format != FORMAT {
                    newer = Some(entry.format);
                } else if entry.reply.is_some() {
                    transcript.insert(entry);
                }
            })?;
        }
        match newer {
            None => Ok(transcript),
            Some(format) => Err(Fault::User(format!(
                "`{}` has lines of format {format}, this vila-bench reads {FORMAT}; give another --out",
                path.display()
            ))),
        }
    }

    fn insert(&mut self, entry: Entry) {
        let subject = Subject {
            id: entry.id.clone(),
            answer_sha256: entry.answer_sha256.clone(),
            judge: entry.judge.clone(),
            run: entry.run,
        };
        self.replies.entry(subject).or_default().insert(entry.call, entry);
    }

    /// Gives `judgement` the replies that are here: how many, and the verdict if they led to one.
    pub fn replay(&self, subject: &Subject, judgement: &mut dyn Judgement) -> (u32, Option<Verdict>) {
        let mut calls = 0;
        if let Some(replies) = self.replies.get(subject) {
            while let Some(reply) = replies.get(&calls).and_then(|entry| entry.reply_to(&judgement.call())) {
                calls += 1;
                if let Some(verdict) = judgement.reply(reply) {
                    return (calls, Some(verdict));
                }
            }
        }
        (calls, None)
    }
}

/// Where the transcript of grades of `model`'s answers by `judge` lies in `folder`.
pub fn path(folder: &Path, model: &str, judge: &str) -> PathBuf {
    folder.join(format!("{model}_{}.transcript.jsonl", file_part(judge)))
}

/// A judge's name as a part of a file name: `Qwen/Qwen2.5-72B` has a slash.
pub fn file_part(judge: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || matches!(c, '-' | '.' | '_') {
            c
        } else {
            '-'
        }
    };
    judge.chars().map(plain).collect()
}

/// A transcript open for appending.
pub type TranscriptFile = Journal<Entry>;

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks until it is told a number.
    struct Stubborn(u32);

    impl Judgement for Stubborn {
        fn call(&self) -> Call {
            Call {
                message: format!("message {}", self.0.min(1)),
                temperature: f64::from(self.0) / 2.0,
                max_tokens: 3,
            }
        }

        fn reply(&mut self, content: &str) -> Option<Verdict> {
            self.0 += 1;
            content.parse::<f64>().is_ok().then(|| Verdict {
                content: content.to_owned(),
                finding: None,
            })
        }
    }

    fn subject(run: u32) -> Subject {
        Subject {
            id: "v1_0".to_owned(),
            answer_sha256: text_sha256("said"),
            judge: "gpt-4".to_owned(),
            run,
        }
    }

    fn reply(content: &str) -> Reply {
        Reply {
            content: content.to_owned(),
            served_by: Some("gpt-4-0613".to_owned()),
            finish: Some("stop".to_owned()),
            prompt_tokens: Some(600),
            completion_tokens: Some(2),
        }
    }

    /// A file with the replies of one judgement, the second of which failed once.
    fn written(path: &Path, replies: &[&str]) {
        let mut file = TranscriptFile::open(path).unwrap();
        let mut judgement = Stubborn(0);
        for (number, content) in (0..).zip(replies) {
            let call = judgement.call();
            if number == 1 {
                file.append(&Entry::of(&subject(0), number, &call, Err("status 500")))
                    .unwrap();
            }
            file.append(&Entry::of(&subject(0), number, &call, Ok(&reply(content))))
                .unwrap();
            judgement.reply(content);
        }
    }

    #[test]
    fn replies_are_given_again_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "m", "Qwen/Qwen2.5-72B");
        assert!(path.ends_with("m_Qwen-Qwen2.5-72B.transcript.jsonl"));
        assert!(Transcript::read(&path).unwrap().replies.is_empty());
        written(&path, &["?", "0.5"]);
        let transcript = Transcript::read(&path).unwrap();
        let verdict = Verdict {
            content: "0.5".to_owned(),
            finding: None,
        };
        assert_eq!(transcript.replay(&subject(0), &mut Stubborn(0)), (2, Some(verdict)));
        // Another run, and a judgement that starts from another message.
        assert_eq!(transcript.replay(&subject(1), &mut Stubborn(0)), (0, None));
        assert_eq!(transcript.replay(&subject(0), &mut Stubborn(1)), (0, None));
    }

    #[test]
    fn a_judgement_that_was_cut_off_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "m", "gpt-4");
        written(&path, &["?", "??"]);
        let mut judgement = Stubborn(0);
        let transcript = Transcript::read(&path).unwrap();
        assert_eq!(transcript.replay(&subject(0), &mut judgement), (2, None));
        assert_eq!(judgement.0, 2);
    }

    #[test]
    fn the_line_on_disk_is_as_documented() {
        let mut entry = Entry::of(&subject(0), 0, &Stubborn(0).call(), Ok(&reply("0.5")));
        entry.time = "2026-11-24T18:00:00Z".to_owned();
        insta::assert_snapshot!(serde_json::to_string(&entry).unwrap());
    }

    #[test]
    fn lines_of_another_version_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "m", "gpt-4");
        let mut entry = Entry::of(&subject(0), 0, &Stubborn(0).call(), Err("x"));
        entry.format = 2;
        TranscriptFile::open(&path).unwrap().append(&entry).unwrap();
        let error = Transcript::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("has lines of format 2, this vila-bench reads 1"),
            "{error}"
        );
    }
}
