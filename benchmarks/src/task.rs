//! The names that the command line speaks: tasks, protocols, prompt styles.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that is not in its list, with the nearest one that is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct UnknownName {
    kind: &'static str,
    given: String,
    known: Vec<&'static str>,
}

impl UnknownName {
    /// Reports `given` as no member of `known`; `kind` says what was being named ("task", "protocol").
    pub fn new(kind: &'static str, given: &str, known: &[&'static str]) -> Self {
        Self {
            kind,
            given: given.to_owned(),
            known: known.to_vec(),
        }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {} `{}`", self.kind, self.given)?;
        let given = self.given.to_lowercase();
        let nearest = self
            .known
            .iter()
            .map(|name| (strsim::damerau_levenshtein(&given, name), name))
            .min();
        if let Some((distance, name)) = nearest
            && distance <= 2
        {
            write!(f, "; did you mean `{name}`? known: {}", self.known.join(", "))
        } else {
            write!(f, "; known: {}", self.known.join(", "))
        }
    }
}

/// Declares an enum whose variants have one fixed spelling on the command line and on disk.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $kind:literal, { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "&'static str", try_from = "String")]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every member, in the order of the papers' tables.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The spelling used on the command line and on disk.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl From<$name> for &'static str {
            fn from(value: $name) -> Self { value.id() }
        }

        impl TryFrom<String> for $name {
            type Error = UnknownName;
            fn try_from(text: String) -> Result<Self, UnknownName> { text.parse() }
        }

        impl FromStr for $name {
            type Err = UnknownName;
            fn from_str(text: &str) -> Result<Self, UnknownName> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(UnknownName::new($kind, text, &[$($text,)+])),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.id()) }
        }
    };
}

named! {
    /// A benchmark's id on the command line.
    Task, "task", {
        /// Visual question answering v2.
        Vqav2 = "vqav2",
        /// Compositional questions over scene graphs.
        Gqa = "gqa",
        /// Photographs taken by blind people.
        Vizwiz = "vizwiz",
        /// Reading text in photographs.
        Textvqa = "textvqa",
        /// Object hallucination.
        Pope = "pope",
        /// Yes/no pairs over fourteen subtasks.
        Mme = "mme",
        /// Multiple choice with rotated options.
        Mmbench = "mmbench",
        /// Open answers graded by a judge.
        MmVet = "mm-vet",
    }
}

named! {
    /// Whose rule turns answers into a score.
    Protocol, "protocol", {
        /// The LLaVA route of the benchmark's page, as LLaVA-1.5 and VILA were scored.
        Paper = "paper",
        /// The organisers' own scorer on the raw answers.
        Official = "official",
        /// lmms-eval at revision 75571cfe.
        LmmsEval = "lmms-eval",
        /// VLMEvalKit at revision e8e78f05.
        VlmEvalKit = "vlmevalkit",
    }
}

named! {
    /// Whose wording a question is asked in.
    PromptStyle, "prompt style", {
        /// LLaVA's and VILA's question files.
        Paper = "paper",
        /// lmms-eval at revision 75571cfe.
        LmmsEval = "lmms-eval",
        /// VLMEvalKit at revision e8e78f05.
        VlmEvalKit = "vlmevalkit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back() {
        for task in Task::ALL {
            assert_eq!(task.id().parse::<Task>().as_ref(), Ok(task));
        }
    }

    #[test]
    fn a_near_miss_is_told_what_was_meant() {
        let error = "poep".parse::<Task>().unwrap_err().to_string();
        assert!(
            error.starts_with("unknown task `poep`; did you mean `pope`?"),
            "{error}"
        );
        let error = "hellaswag".parse::<Task>().unwrap_err().to_string();
        assert!(!error.contains("did you mean"), "{error}");
    }
}
