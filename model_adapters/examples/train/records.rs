//! The training data as it lies on disk: LLaVA's conversations, one JSON object a line.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::choices;

/// A file of conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A picture and its description.
    Captions,
    /// Several pictures among text.
    Interleaved,
    /// Questions and answers, some without a picture.
    Instruct,
    /// The questions with options among them, paired with the same in words.
    Choices,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Captions, Self::Interleaved, Self::Instruct, Self::Choices];

    /// Its file in the data folder.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Captions => "captions.jsonl",
            Self::Interleaved => "interleaved.jsonl",
            Self::Instruct | Self::Choices => "instruct.jsonl",
        }
    }
}

/// One line of a file.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    /// The pictures' paths, relative to the data folder.
    #[serde(default, rename = "image", deserialize_with = "one_or_several")]
    pub pictures: Vec<String>,
    /// The turns, a human's first.
    pub conversations: Vec<Turn>,
    /// Which of its questions see which.
    #[serde(default, rename = "independent", deserialize_with = "alone_or_together")]
    pub asked: Asked,
}

/// Which questions of a record make a conversation; the pictures belong to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Asked {
    /// All of them.
    #[default]
    Together,
    /// Each for itself.
    Alone,
    /// Two and two.
    InPairs,
}

/// What one side says.
#[derive(Debug, Clone, Deserialize)]
pub struct Turn {
    /// Who says it.
    pub from: Speaker,
    /// What; a picture is marked `<image>`.
    pub value: String,
}

/// A side of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// Asks.
    Human,
    /// Answers: what is learnt.
    Gpt,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Pictures {
    One(String),
    Several(Vec<String>),
}

/// LLaVA's files hold a path, a list of paths, or no such key.
fn one_or_several<'de, D: serde::Deserializer<'de>>(field: D) -> Result<Vec<String>, D::Error> {
    Ok(match Pictures::deserialize(field)? {
        Pictures::One(path) => vec![path],
        Pictures::Several(paths) => paths,
    })
}

fn alone_or_together<'de, D: serde::Deserializer<'de>>(field: D) -> Result<Asked, D::Error> {
    let independent = bool::deserialize(field)?;
    Ok(if independent { Asked::Alone } else { Asked::Together })
}

/// Reads a file of the data folder; an absent one is empty.
pub fn read(folder: &Path, source: Source) -> Result<Vec<Record>, Box<dyn Error>> {
    let path = folder.join(source.file());
    if !path.exists() {
        return Ok(Vec::new());
    }
    let file = File::open(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    let mut records = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let record = serde_json::from_str(&line?)
            .map_err(|error| format!("`{}`: line {}: {error}", path.display(), number + 1))?;
        if source == Source::Choices {
            records.extend(choices::paired(&record)?);
        } else {
            records.push(record);
        }
    }
    Ok(records)
}

impl Record {
    /// Its questions with their answers.
    pub fn exchanges(&self) -> Result<Vec<[&str; 2]>, Box<dyn Error>> {
        let pairs = self.conversations.chunks(2).map(|pair| match pair {
            [question, answer] if question.from == Speaker::Human && answer.from == Speaker::Gpt => {
                Ok([question.value.as_str(), answer.value.as_str()])
            }
            _ => Err("a conversation is not a question, an answer, and so on in turn".into()),
        });
        pairs.collect()
    }
}
