//! One question of a benchmark.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::picture::Picture;

/// The id of a sample, the same in every layout that carries the needed fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SampleId(String);

impl SampleId {
    /// Takes an id as it stands.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id where a layout lacks the fields of the real one; such ids compare within one layout only.
    pub fn row(n: usize) -> Self {
        Self(format!("row/{n}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SampleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One question of a benchmark, without anything a model must not see except `reference`, which the plan
/// keeps away from adapters.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The same in every layout.
    pub id: SampleId,
    /// The id that the source itself gives.
    pub source_id: String,
    /// The pictures it is about, in the order in which the prompt shows them.
    pub pictures: Vec<Picture>,
    /// The question without any prompt suffix, as the source spells it.
    pub question: String,
    /// What the benchmark's tables group by, for instance `adversarial`.
    pub category: Option<String>,
    /// The reference answer as people read it; `None` where labels are hidden.
    pub reference: Option<String>,
    /// Samples with equal numbers are scored together: an MME pair, the rotations of an MMBench question.
    pub scoring_group: usize,
}

impl Sample {
    /// What this sample shares with others that show the same pictures; clusters the standard error and keeps
    /// questions about one picture side by side.
    pub fn picture_group(&self) -> String {
        let keys: Vec<&str> = self.pictures.iter().map(Picture::key).collect();
        keys.join("\n")
    }
}
