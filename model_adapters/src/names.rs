//! Names that a user types: an unknown one is answered with the nearest known one.

use std::fmt;

/// A name that is not in its list, with the nearest one that is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct UnknownName {
    kind: &'static str,
    given: String,
    known: Vec<&'static str>,
}

impl UnknownName {
    /// Reports `given` as none of `known`; `kind` says what was being named ("profile").
    pub(crate) fn new(kind: &'static str, given: &str, known: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            kind,
            given: given.to_owned(),
            known: known.into_iter().collect(),
        }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {} `{}`; ", self.kind, self.given)?;
        let given = self.given.to_lowercase();
        let begins = |name: &&&str| !given.is_empty() && name.starts_with(&given);
        let nearest = || {
            let distances = self
                .known
                .iter()
                .map(|name| (strsim::damerau_levenshtein(&given, name), name));
            let (_, name) = distances.min().filter(|(distance, _)| *distance <= 2)?;
            Some(name)
        };
        if let Some(name) = self.known.iter().find(begins).or_else(nearest) {
            write!(f, "did you mean `{name}`? ")?;
        }
        write!(f, "known: {}", self.known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_and_a_beginning_are_told_what_was_meant() {
        let error = |given| UnknownName::new("fruit", given, ["apple", "pear"]).to_string();
        assert_eq!(
            error("Aple"),
            "unknown fruit `Aple`; did you mean `apple`? known: apple, pear"
        );
        assert_eq!(
            error("pe"),
            "unknown fruit `pe`; did you mean `pear`? known: apple, pear"
        );
        assert_eq!(error(""), "unknown fruit ``; known: apple, pear");
        assert_eq!(error("plum-cake"), "unknown fruit `plum-cake`; known: apple, pear");
    }
}
