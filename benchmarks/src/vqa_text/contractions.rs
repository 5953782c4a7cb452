//! The contraction tables of the VQA scorers and the pass over words that looks them up.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::python_text;

/// Word and replacement, as GT-Vision-Lab/VQA's `vqaEval.py` and its copies have them. Words are looked up in
/// lower case, so those with a capital never match; `somebody'd` really loses its apostrophe.
const TABLE: &str = "\
    'ow'sat 'ow's'at, 'ows'at 'ow's'at, aint ain't, arent aren't, cant can't, couldn'tve couldn't've,\
    couldnt couldn't, couldnt've couldn't've, couldve could've, didnt didn't, doesnt doesn't, dont don't,\
    hadn'tve hadn't've, hadnt hadn't, hadnt've hadn't've, hasnt hasn't, havent haven't, he'dve he'd've,\
    hed he'd, hed've he'd've, hes he's, howd how'd, howll how'll, hows how's, I'dve I'd've, Id've I'd've,\
    Im I'm, isnt isn't, it'dve it'd've, itd it'd, itd've it'd've, itll it'll, Ive I've, let's let's, maam ma'am,\
    mightn'tve mightn't've, mightnt mightn't, mightnt've mightn't've, mightve might've, mustnt mustn't,\
    mustve must've, neednt needn't, notve not've, oclock o'clock, oughtnt oughtn't, ow's'at 'ow's'at,\
    shant shan't, she'dve she'd've, she's she's, shed've she'd've, shouldn'tve shouldn't've, shouldnt shouldn't,\
    shouldnt've shouldn't've, shouldve should've, somebody'd somebodyd, somebody'dve somebody'd've,\
    somebodyd've somebody'd've, somebodyll somebody'll, somebodys somebody's, someone'dve someone'd've,\
    someoned someone'd, someoned've someone'd've, someonell someone'll, someones someone's,\
    something'dve something'd've, somethingd something'd, somethingd've something'd've,\
    somethingll something'll, thats that's, there'dve there'd've, thered there'd, thered've there'd've,\
    therere there're, theres there's, they'dve they'd've, theyd they'd, theyd've they'd've, theyll they'll,\
    theyre they're, theyve they've, twas 'twas, wasnt wasn't, we'dve we'd've, wed've we'd've, werent weren't,\
    weve we've, whatll what'll, whatre what're, whats what's, whatve what've, whens when's, whered where'd,\
    wheres where's, whereve where've, who'dve who'd've, whod who'd, whod've who'd've, wholl who'll, whos who's,\
    whove who've, whyll why'll, whyre why're, whys why's, wont won't, wouldn'tve wouldn't've, wouldnt wouldn't,\
    wouldnt've wouldn't've, wouldve would've, y'all'dve y'all'd've, y'alld've y'all'd've, y'allll y'all'll,\
    yall y'all, yall'd've y'all'd've, yall'll y'all'll, you'dve you'd've, youd you'd, youd've you'd've,\
    youll you'll, youre you're, youve you've";

/// Words whose replacement keeps the ASCII apostrophe in the VizWiz table.
const VIZWIZ_ASCII_VALUES: [&str; 8] = ["aint", "arent", "cant", "couldnt", "couldve", "weve", "wheres", "whove"];

/// Words that keep the ASCII apostrophe themselves in the VizWiz table.
const VIZWIZ_ASCII_KEYS: [&str; 2] = ["couldn'tve", "hadn'tve"];

const ARTICLES: [&str; 3] = ["a", "an", "the"];

/// Word to replacement.
pub(super) type Contractions = HashMap<String, String>;

/// The table of the VQA scorer, LLaVA, lmms-eval and VLMEvalKit.
pub(super) static VQA: LazyLock<Contractions> = LazyLock::new(|| {
    let pairs = pairs().map(|(word, replacement)| (word.to_owned(), replacement.to_owned()));
    pairs.collect()
});

/// The table of the VizWiz scorer: typographic apostrophes (U+2019) nearly everywhere, so that `dont` becomes a
/// word that no typed reference equals.
pub(super) static VIZWIZ: LazyLock<Contractions> = LazyLock::new(|| {
    let typographic = |text: &str, ascii: bool| {
        if ascii {
            text.to_owned()
        } else {
            text.replace('\'', "\u{2019}")
        }
    };
    let pairs = pairs().map(|(word, replacement)| {
        let key = typographic(word, VIZWIZ_ASCII_KEYS.contains(&word));
        (key, typographic(replacement, VIZWIZ_ASCII_VALUES.contains(&word)))
    });
    pairs.collect()
});

fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.split(',').filter_map(|pair| pair.trim().split_once(' '))
}

/// The digit and article pass: lower-cases, maps number words, drops articles, maps contractions of what remains
/// and joins the words with single spaces.
pub(super) fn words_pass(text: &str, contractions: &Contractions) -> String {
    let lower = text.to_lowercase();
    let mut joined = String::with_capacity(lower.len());
    for word in python_text::split(&lower) {
        let word = number(word).unwrap_or(word);
        if ARTICLES.contains(&word) {
            continue;
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(contractions.get(word).map_or(word, String::as_str));
    }
    joined
}

/// What a number word becomes.
fn number(word: &str) -> Option<&'static str> {
    Some(match word {
        "none" | "zero" => "0",
        "one" => "1",
        "two" => "2",
        "three" => "3",
        "four" => "4",
        "five" => "5",
        "six" => "6",
        "seven" => "7",
        "eight" => "8",
        "nine" => "9",
        "ten" => "10",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Tables {
        contractions: Contractions,
        vizwiz_contractions: Contractions,
        number_words: HashMap<String, String>,
        articles: Vec<String>,
    }

    #[test]
    fn the_tables_are_those_of_the_scorers() {
        let tables: Tables = serde_json::from_str(include_str!("../../tests/data/vqa-normalisation.json")).unwrap();
        assert_eq!(tables.contractions.len(), 120);
        assert_eq!(*VQA, tables.contractions);
        assert_eq!(*VIZWIZ, tables.vizwiz_contractions);
        assert_eq!(ARTICLES.to_vec(), tables.articles);
        assert_eq!(tables.number_words.len(), 12);
        for (word, digits) in &tables.number_words {
            assert_eq!(number(word), Some(digits.as_str()), "{word}");
        }
        assert_eq!(number("eleven"), None);
    }

    #[test]
    fn numbers_come_before_articles_and_contractions_last() {
        let cases = [
            ("The None of  a TEN", "0 of 10"),
            ("a an the", ""),
            ("dont The cat's", "don't cat's"),
            ("two-one", "two-one"),
        ];
        for (text, expected) in cases {
            assert_eq!(words_pass(text, &VQA), expected, "{text}");
        }
        assert_eq!(words_pass("dont cant", &VIZWIZ), "don\u{2019}t can't");
    }
}
