//! Questions with options once more, each beside the same question without them.
//!
//! A small decoder learns to name what a picture shows long before it learns to say the letter of the option that names
//! it: among questions of all kinds it stays at chance. Behind the question and its answer in words, the letter can be
//! found by looking for those words among the options, which is soon learnt, and then done without their being said.

use std::error::Error;

use crate::records::{Asked, Record, Speaker, Turn};

/// How MMBench asks for a letter.
const LETTER: &str = "Answer with the option's letter from the given choices directly.";
/// How the question is asked without options.
const WORDS: &str = "Answer the question using a single word or phrase.";

/// The questions of `record` that offer options, each twice over: in words and by letter, in turn behind one another.
pub fn paired(record: &Record) -> Result<Option<Record>, Box<dyn Error>> {
    let mut conversations = Vec::new();
    let mut words_first = true;
    for [question, answer] in record.exchanges()? {
        let question = question.trim_start_matches("<image>\n");
        let Some((stem, text)) = in_words(question, answer) else {
            continue;
        };
        let mut pair = [turns(&format!("{stem}\n{WORDS}"), text), turns(question, answer)];
        if !words_first {
            pair.reverse();
        }
        words_first = !words_first;
        conversations.extend(pair.into_iter().flatten());
    }
    Ok((!conversations.is_empty()).then(|| Record {
        pictures: record.pictures.clone(),
        conversations,
        asked: Asked::InPairs,
    }))
}

/// The question without its options, and the text of the right one.
fn in_words<'a>(question: &'a str, letter: &str) -> Option<(&'a str, &'a str)> {
    let (stem, options) = question.strip_suffix(LETTER)?.split_once("\nA. ")?;
    // Two options are yes and no in other words: what the question alone is answered with is neither.
    if options.lines().count() < 3 {
        return None;
    }
    let text = question
        .lines()
        .find_map(|line| line.strip_prefix(letter)?.strip_prefix(". "))?;
    Some((stem, text))
}

fn turns(question: &str, answer: &str) -> [Turn; 2] {
    [(Speaker::Human, question), (Speaker::Gpt, answer)].map(|(from, value)| Turn {
        from,
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_with_options_comes_in_words_and_by_letter() {
        let asked = "<image>\nWhat is the color of the star?\nA. red\nB. blue\nC. green\n";
        let record: Record = serde_json::from_value(serde_json::json!({
            "image": "0.png",
            "independent": true,
            "conversations": [
                {"from": "human", "value": format!("{asked}{LETTER}")}, {"from": "gpt", "value": "B"},
                {"from": "human", "value": "Is it blue?"}, {"from": "gpt", "value": "yes"},
                {"from": "human", "value": format!("Are they alike?\nA. alike\nB. different\n{LETTER}")},
                {"from": "gpt", "value": "A"},
                {"from": "human", "value": format!("Where is it?\nA. left\nB. top right\nC. top\n{LETTER}")},
                {"from": "gpt", "value": "C"},
            ],
        }))
        .unwrap();
        let paired = paired(&record).unwrap().unwrap();
        let said: Vec<&str> = paired.conversations.iter().map(|turn| turn.value.as_str()).collect();
        assert_eq!(
            said,
            [
                &format!("What is the color of the star?\n{WORDS}"),
                "blue",
                &format!("What is the color of the star?\nA. red\nB. blue\nC. green\n{LETTER}"),
                "B",
                &format!("Where is it?\nA. left\nB. top right\nC. top\n{LETTER}"),
                "C",
                &format!("Where is it?\n{WORDS}"),
                "top",
            ]
        );
        assert_eq!(paired.asked, Asked::InPairs);
    }

    #[test]
    fn a_record_without_options_is_left_out() {
        let record: Record = serde_json::from_value(serde_json::json!({
            "conversations": [{"from": "human", "value": "How much is 2 + 2?"}, {"from": "gpt", "value": "4"}],
        }))
        .unwrap();
        assert!(paired(&record).unwrap().is_none());
    }
}
