//! Questions without a picture: small sums, spelling, opposites, what things are like.

use super::Turn;
use super::dice::Dice;
use super::world::{SPANISH, Shape, WORDS, in_words};

const OPPOSITES: [(&str, &str); 14] = [
    ("big", "small"),
    ("left", "right"),
    ("above", "below"),
    ("top", "bottom"),
    ("hot", "cold"),
    ("day", "night"),
    ("open", "closed"),
    ("fast", "slow"),
    ("black", "white"),
    ("up", "down"),
    ("old", "new"),
    ("wet", "dry"),
    ("clear", "blurred"),
    ("yes", "no"),
];

const COLOURS: [(&str, &str); 12] = [
    ("grass", "green"),
    ("the sun", "yellow"),
    ("snow", "white"),
    ("the sea", "blue"),
    ("blood", "red"),
    ("coal", "black"),
    ("an orange", "orange"),
    ("a plum", "purple"),
    ("milk", "white"),
    ("a banana", "yellow"),
    ("a tomato", "red"),
    ("a leaf", "green"),
];

/// A question with its answer.
pub fn ask(dice: &mut Dice) -> Turn {
    let (prompt, answer) = match dice.below(8) {
        0 | 1 => {
            let (a, b) = (dice.below(10), dice.below(10));
            let form = dice.one(["What is {a} + {b}?", "What is {a} plus {b}?", "How much is {a} + {b}?"]);
            (
                form.replace("{a}", &a.to_string()).replace("{b}", &b.to_string()),
                (a + b).to_string(),
            )
        }
        2 => {
            let (a, b) = (dice.below(10), dice.below(10));
            let (a, b) = (a.max(b), a.min(b));
            (format!("What is {a} - {b}?"), (a - b).to_string())
        }
        3 => {
            let word = dice.one(WORDS).to_lowercase();
            let letters: Vec<String> = word.chars().map(String::from).collect();
            (format!("How do you spell {word}?"), letters.join(" "))
        }
        4 => {
            let (one, other) = dice.one(OPPOSITES);
            let (one, other) = if dice.chance(50) { (one, other) } else { (other, one) };
            let form = dice.one(["What is the opposite of {}?", "Give the opposite of {}."]);
            (form.replace("{}", one), other.to_owned())
        }
        5 => {
            let (what, colour) = dice.one(COLOURS);
            let form = dice.one(["What color is {}?", "Which color does {} have?"]);
            (form.replace("{}", what), colour.to_owned())
        }
        6 => {
            let (word, meaning) = dice.one(SPANISH);
            (
                format!("What does the Spanish word {} mean?", word.to_lowercase()),
                format!("It means {meaning}."),
            )
        }
        _ => {
            if dice.chance(50) {
                let number = dice.below(21);
                let word = in_words(number).unwrap_or_default();
                (format!("Write {number} as a word."), word.to_owned())
            } else {
                let shape = dice.one([Shape::Square, Shape::Triangle, Shape::Diamond]);
                let sides = shape.sides().unwrap_or_default();
                (
                    format!("How many sides does a {} have?", shape.name()),
                    sides.to_string(),
                )
            }
        }
    };
    Turn { prompt, answer }
}
