//! Where an answer ends besides its end token: the references' keyword criterion and what they cut off afterwards
//! (`prompting.md` section 6.2).
//!
//! Greedy decoding does not look ahead, so the criterion is applied to the finished answer: cutting it at the first
//! token where the criterion holds gives what stopping there would have given.

use std::fmt;
use std::str::FromStr;

use crate::names::UnknownName;
use crate::profile::{GenerateInput, Profile};
use crate::request::{FinishReason, Script};
use crate::tokenizer::{PromptToken, Tokenizer, TokenizerError, trim};

/// The user's choice of where answers end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StopRule {
    /// As the profile's program does for the script at hand.
    #[default]
    Auto,
    /// At an end token only.
    EndToken,
    /// At the template's stop string too, which is cut off, as the references' interactive scripts do.
    Keyword,
    /// As [`StopRule::Keyword`], through the window of ids that the references decode, misplaced as it is.
    KeywordWindow,
}

/// What is done about the stop string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// The answer stops there; which of its ids are searched for the text.
    pub keyword: Option<Window>,
    /// It is cut off the end of the text.
    pub cut: bool,
}

/// The ids whose text is searched for the stop string after each new token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// As many of the last new ids as the stop string has.
    Tail,
    /// What the references look at. They subtract the prompt's length from a record that, in the programs fed with
    /// embeddings, does not hold the prompt: the window is empty for short answers and odd for longer ones.
    Reference,
}

impl StopRule {
    /// All rules.
    pub const ALL: [Self; 4] = [Self::Auto, Self::EndToken, Self::Keyword, Self::KeywordWindow];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::EndToken => "end-token",
            Self::Keyword => "keyword",
            Self::KeywordWindow => "keyword-window",
        }
    }

    /// What it means for the answers to `script`.
    pub const fn ending(self, profile: Profile, script: Script) -> Ending {
        match self {
            Self::Auto => profile.ending(script),
            Self::EndToken => Ending {
                keyword: None,
                cut: false,
            },
            Self::Keyword => Ending {
                keyword: Some(Window::Tail),
                cut: true,
            },
            Self::KeywordWindow => Ending {
                keyword: Some(Window::Reference),
                cut: true,
            },
        }
    }
}

impl fmt::Display for StopRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for StopRule {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|rule| rule.name() == name)
            .ok_or_else(|| UnknownName::new("stop rule", name, Self::ALL.map(Self::name)))
    }
}

impl Ending {
    /// Its name in manifests: what ends an answer, and whether the stop string is cut off.
    pub const fn id(self) -> &'static str {
        match (self.keyword, self.cut) {
            (None, false) => "end-token",
            (None, true) => "end-token+cut",
            (Some(Window::Tail), false) => "keyword",
            (Some(Window::Tail), true) => "keyword+cut",
            (Some(Window::Reference), false) => "keyword-window",
            (Some(Window::Reference), true) => "keyword-window+cut",
        }
    }
}

/// The keyword criterion for one stop string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    string: &'static str,
    ids: Vec<u32>,
    window: Window,
    input: GenerateInput,
    bos: Option<u32>,
}

impl Stop {
    /// Looks for `string`, which is not empty, as `tokenizer` spells it, in the record of a program fed with `input`.
    ///
    /// # Errors
    ///
    /// The stop string cannot be tokenised.
    pub fn new(
        string: &'static str,
        tokenizer: &Tokenizer,
        window: Window,
        input: GenerateInput,
    ) -> Result<Self, TokenizerError> {
        let bos = tokenizer.bos();
        let mut ids = tokenizer.encode(string)?;
        if ids.len() > 1 && ids.first().copied() == bos {
            ids.remove(0);
        }
        Ok(Self {
            string,
            ids,
            window,
            input,
            bos,
        })
    }

    /// How many ids of `generated` the criterion lets through, with the reason for which generation then `finish`ed.
    /// `text` decodes ids, special tokens skipped, nothing stripped.
    ///
    /// # Errors
    ///
    /// What `text` says.
    pub fn apply(
        &self,
        prompt: &[PromptToken],
        generated: &[u32],
        finish: FinishReason,
        text: impl Fn(&[u32]) -> Result<String, TokenizerError>,
    ) -> Result<(usize, FinishReason), TokenizerError> {
        let mut record = self.before(prompt);
        for (&id, count) in generated.iter().zip(1..) {
            record.push(Some(id));
            let window: Vec<u32> = record
                .get(self.window_start(prompt.len(), record.len(), count)..)
                .unwrap_or_default()
                .iter()
                .filter_map(|id| *id)
                .collect();
            if self.ends_with_ids(&record) || (!window.is_empty() && text(&window)?.contains(self.string)) {
                // The end token says so itself.
                let by_itself = finish == FinishReason::EndToken && count == generated.len();
                return Ok((count, if by_itself { finish } else { FinishReason::StopString }));
            }
        }
        Ok((generated.len(), finish))
    }

    /// The record before the first new id; pictures have no id.
    fn before(&self, prompt: &[PromptToken]) -> Vec<Option<u32>> {
        match (self.window, self.input) {
            (Window::Tail, _) => Vec::new(),
            (Window::Reference, GenerateInput::Embeddings) => vec![self.bos],
            (Window::Reference, GenerateInput::TokenIds) => prompt
                .iter()
                .map(|token| match token {
                    PromptToken::Text(id) => Some(*id),
                    PromptToken::Picture(_) => None,
                })
                .collect(),
        }
    }

    /// Where the window begins in a record of `length` ids, `new` of them generated. Behind a negative length of it,
    /// Python counts from the front.
    fn window_start(&self, prompt: usize, length: usize, new: usize) -> usize {
        let longest = self.ids.len();
        match self.window {
            Window::Tail => length - new.min(longest),
            Window::Reference => match length.checked_sub(prompt) {
                Some(0) => 0,
                Some(beyond) => length - beyond.min(longest),
                None => prompt - length,
            },
        }
    }

    fn ends_with_ids(&self, record: &[Option<u32>]) -> bool {
        let tail = record.len().checked_sub(self.ids.len());
        tail.is_some_and(|tail| {
            !self.ids.is_empty()
                && record
                    .iter()
                    .skip(tail)
                    .zip(&self.ids)
                    .all(|(found, id)| *found == Some(*id))
        })
    }
}

/// `text` stripped, without `stop` at its end, once, and stripped again.
pub fn cut<'t>(text: &'t str, stop: &str) -> &'t str {
    let text = trim(text);
    trim(text.strip_suffix(stop).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROMPT: [PromptToken; 6] = [
        PromptToken::Text(1),
        PromptToken::Text(4),
        PromptToken::Picture(0),
        PromptToken::Text(5),
        PromptToken::Text(6),
        PromptToken::Text(7),
    ];

    fn stop(window: Window, input: GenerateInput, ids: &[u32], string: &'static str) -> Stop {
        Stop {
            string,
            ids: ids.to_vec(),
            window,
            input,
            bos: Some(1),
        }
    }

    /// One letter an id: 10 is `a`. Ids below 10 are special: they leave no text.
    fn letters(ids: &[u32]) -> Result<String, TokenizerError> {
        let letter = |id: &u32| id.checked_sub(10).and_then(|n| char::from_u32(u32::from('a') + n));
        Ok(ids.iter().filter_map(letter).collect())
    }

    fn kept(stop: &Stop, generated: &[u32]) -> (usize, FinishReason) {
        let finish = if generated.last() == Some(&2) {
            FinishReason::EndToken
        } else {
            FinishReason::Length
        };
        stop.apply(&PROMPT, generated, finish, letters).unwrap()
    }

    #[test]
    fn an_answer_stops_at_the_ids_or_at_the_text_of_the_stop_string() {
        use FinishReason::{EndToken, Length, StopString};
        let end = stop(Window::Tail, GenerateInput::Embeddings, &[2], "</s>");
        let letters = stop(Window::Tail, GenerateInput::Embeddings, &[12, 12, 12], "ccc");
        // `cd` with ids of its own: the text is found before the ids are.
        let spelt = stop(Window::Tail, GenerateInput::Embeddings, &[40, 41], "cd");
        let cases: [(&Stop, &[u32], usize, FinishReason); 9] = [
            (&end, &[10, 11, 2], 3, EndToken),
            (&end, &[10, 2, 11], 2, StopString),
            (&end, &[10, 11], 2, Length),
            (&end, &[], 0, Length),
            (&letters, &[12, 12, 12, 10], 3, StopString),
            (&letters, &[10, 12, 12, 10, 12, 12, 12], 7, StopString),
            (&letters, &[12, 12], 2, Length),
            (&spelt, &[10, 12, 13, 14], 3, StopString),
            (&spelt, &[12, 10, 13, 40, 41, 10], 5, StopString),
        ];
        for (stop, generated, count, finish) in cases {
            assert_eq!(kept(stop, generated), (count, finish), "{generated:?}");
        }
    }

    /// S = 6 and m = 2; n = 1 + the new ids.
    #[test]
    fn the_references_window_is_theirs() {
        let embeddings = stop(Window::Reference, GenerateInput::Embeddings, &[40, 41], "cd");
        let windows: Vec<(usize, usize)> = (1..=8)
            .map(|new| (1 + new, embeddings.window_start(6, 1 + new, new)))
            .map(|(length, start)| (start, length.saturating_sub(start)))
            .collect();
        // (start, ids): empty while n <= S / 2, then from S - n on, everything at n = S, the last o ids after that.
        let expected = [(4, 0), (3, 0), (2, 2), (1, 4), (0, 6), (6, 1), (6, 2), (7, 2)];
        assert_eq!(windows, expected);

        let ids = stop(Window::Reference, GenerateInput::TokenIds, &[40, 41], "cd");
        let windows: Vec<usize> = (1..=3).map(|new| 6 + new - ids.window_start(6, 6 + new, new)).collect();
        assert_eq!(windows, [1, 2, 2], "the last new ids");
    }

    #[test]
    fn the_references_window_overlooks_and_finds_late() {
        use FinishReason::{Length, StopString};
        let embeddings = stop(Window::Reference, GenerateInput::Embeddings, &[40, 41], "cd");
        // Spelt within the first two tokens: the window is empty then; at n = 4 it begins behind them.
        assert_eq!(kept(&embeddings, &[12, 13, 10]), (3, Length));
        // At n = 5 it reaches back to the first new id.
        assert_eq!(kept(&embeddings, &[12, 13, 10, 10, 10]), (4, StopString));
        let ids = stop(Window::Reference, GenerateInput::TokenIds, &[40, 41], "cd");
        assert_eq!(kept(&ids, &[12, 13, 10]), (2, StopString));
        // The record of ids goes on from the prompt, so a stop string may begin there.
        let across = stop(Window::Reference, GenerateInput::TokenIds, &[7, 10], "-");
        assert_eq!(kept(&across, &[10, 11]), (1, StopString));
        let tail = stop(Window::Tail, GenerateInput::TokenIds, &[7, 10], "-");
        assert_eq!(kept(&tail, &[10, 11]), (2, Length));
        // A picture's marker is no id.
        let marker = stop(Window::Reference, GenerateInput::TokenIds, &[4, 5], "-");
        assert_eq!(kept(&marker, &[10]), (1, Length));
    }

    proptest! {
        /// One letter an id, so the window holds exactly as much text as the stop string has.
        #[test]
        fn an_answer_is_kept_up_to_the_first_place_of_the_stop_string(
            generated in proptest::collection::vec(10_u32..13, 0..40),
        ) {
            let stop = stop(Window::Tail, GenerateInput::Embeddings, &[10, 11, 10], "aba");
            let text = letters(&generated).unwrap();
            let (count, finish) = kept(&stop, &generated);
            match text.find("aba") {
                Some(at) => prop_assert_eq!((count, finish), (at + 3, FinishReason::StopString)),
                None => prop_assert_eq!((count, finish), (generated.len(), FinishReason::Length)),
            }
        }
    }

    #[test]
    fn a_stop_string_is_cut_off_once_and_only_at_the_end() {
        let cases = [
            ("Yes</s>", "</s>", "Yes"),
            (" Yes </s> \n", "</s>", "Yes"),
            ("Yes</s></s>", "</s>", "Yes</s>"),
            ("</s> Yes", "</s>", "</s> Yes"),
            ("A###", "###", "A"),
            ("\u{1F}</s>", "</s>", ""),
            ("", "</s>", ""),
        ];
        for (text, stop, wanted) in cases {
            assert_eq!(cut(text, stop), wanted, "{text:?}");
        }
    }

    #[test]
    fn rules_parse_back_and_override_the_profile() {
        for rule in StopRule::ALL {
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        assert_eq!(
            "keywords".parse::<StopRule>().unwrap_err().to_string(),
            "unknown stop rule `keywords`; did you mean `keyword`? known: auto, end-token, keyword, keyword-window"
        );
        let ending = |rule: StopRule, script| rule.ending(Profile::Vila15, script).id();
        assert_eq!(ending(StopRule::Auto, Script::Short), "end-token");
        assert_eq!(ending(StopRule::Auto, Script::Open), "end-token+cut");
        assert_eq!(ending(StopRule::Auto, Script::VlmEvalKit), "keyword");
        assert_eq!(ending(StopRule::EndToken, Script::Open), "end-token");
        assert_eq!(ending(StopRule::Keyword, Script::Short), "keyword+cut");
        assert_eq!(ending(StopRule::KeywordWindow, Script::Short), "keyword-window+cut");
    }
}
