//! The key of a judge's server. It comes from the environment and goes into one header: nothing here prints it, and
//! what the server says is cleaned of it before anything else sees it.

use std::fmt;

use reqwest::header::HeaderValue;

use crate::fault::Fault;

/// Where the key is looked for, in that order.
pub const VARIABLES: [&str; 2] = ["VILA_BENCH_JUDGE_KEY", "OPENAI_API_KEY"];

/// What stands in a text in place of the key.
const HIDDEN: &str = "[key]";

/// Shorter ones are placeholders such as `none`, which servers without keys are given; taking them out of a reply
/// would falsify it.
const SHORTEST_SECRET: usize = 8;

/// A key that cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// The key in the environment, with the name of its variable; `None` where neither is set.
    pub fn from_environment() -> Result<Option<(Self, &'static str)>, Fault> {
        for name in VARIABLES {
            match std::env::var(name) {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => return Self::new(text.trim(), name).map(|key| Some((key, name))),
                Err(std::env::VarError::NotPresent) => {}
                Err(std::env::VarError::NotUnicode(_)) => return Err(unusable(name)),
            }
        }
        Ok(None)
    }

    fn new(text: &str, variable: &str) -> Result<Self, Fault> {
        if text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(unusable(variable))
        }
    }

    /// The header that carries it, marked so that no log shows it.
    pub fn header(&self) -> Result<HeaderValue, Fault> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0))
            .map_err(|_| Fault::Bug("a checked key makes no header".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// `text` without the key.
    pub fn hide(&self, text: &str) -> String {
        if self.0.len() < SHORTEST_SECRET {
            return text.to_owned();
        }
        text.replace(&self.0, HIDDEN)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

fn unusable(variable: &str) -> Fault {
    Fault::User(format!(
        "{variable} holds something that no key has (a space, a line break or a letter outside ASCII); set it again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "sk-very-secret-0123";

    #[test]
    fn nothing_prints_it() {
        let key = Key::new(SECRET, "X").unwrap();
        let header = key.header().unwrap();
        for shown in [
            format!("{key:?}"),
            format!("{header:?}"),
            key.hide(&format!("you sent {SECRET}!")),
        ] {
            assert!(!shown.contains(SECRET), "{shown}");
        }
        assert_eq!(header.to_str().unwrap(), format!("Bearer {SECRET}"));
    }

    #[test]
    fn an_unusable_key_is_not_repeated() {
        for text in ["sk-very secret", "sk-very\nsecret", "sk-sécret-secret"] {
            let error = Key::new(text, "OPENAI_API_KEY").unwrap_err().to_string();
            assert!(
                error.starts_with("OPENAI_API_KEY holds") && !error.contains(text),
                "{error}"
            );
        }
    }

    #[test]
    fn a_placeholder_does_not_change_replies() {
        assert_eq!(Key::new("0", "X").unwrap().hide("0.5"), "0.5");
    }
}
