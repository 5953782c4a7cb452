//! Scenes in words: everything that is there, where it is, and what is written on it.

use super::scene::{Board, Scene, Sign, Subject, Thing};
use super::world::{SPANISH, with_article};

/// All that can be told: size, colour, form and place of every thing, every sign, the background.
pub fn dense(scene: &Scene) -> String {
    if !scene.is_clear() {
        return "The picture is too bad to see anything.".to_owned();
    }
    let mut sentences = Vec::new();
    match &scene.subject {
        Subject::Things(things, signs) => {
            sentences.extend(things.iter().map(thing));
            sentences.extend(signs.iter().map(sign));
        }
        _ => sentences.push(subject(scene)),
    }
    if !matches!(scene.subject, Subject::Board(_)) {
        sentences.push(format!("The background is {}.", scene.backdrop.phrase()));
    }
    sentences.join(" ")
}

/// One sentence.
pub fn short(scene: &Scene) -> String {
    if !scene.is_clear() {
        return "The picture is too bad to see anything.".to_owned();
    }
    let Subject::Things(things, signs) = &scene.subject else {
        return subject(scene);
    };
    let things = things.iter().map(|thing| with_article(&thing.noun()));
    let signs = signs.iter().map(|sign| format!("a sign that says {}", sign.said()));
    let all: Vec<String> = things.chain(signs).collect();
    match all.split_last() {
        None => "There is nothing.".to_owned(),
        Some((last, [])) => format!("There is {last}."),
        Some((last, others)) => format!("There is {} and {last}.", others.join(", ")),
    }
}

fn thing(thing: &Thing) -> String {
    let noun = with_article(&format!("{} {}", thing.size.name(), thing.noun()));
    format!("There is {noun} at the {}.", thing.place().name())
}

fn sign(sign: &Sign) -> String {
    let row = ["top", "middle", "bottom"].get(sign.row).copied().unwrap_or("middle");
    let noun = with_article(&format!("{} sign", sign.plate.name()));
    format!("There is {noun} at the {row} that says {}.", sign.said())
}

/// What fills a whole picture.
fn subject(scene: &Scene) -> String {
    match &scene.subject {
        Subject::Things(..) => String::new(),
        Subject::Face(character, _) => format!("This is {}.", character.name()),
        Subject::Landmark(landmark, _) => format!("This is the {}.", landmark.name()),
        Subject::Artwork(style, [first, second]) => {
            format!(
                "A painting shows {} in {} on {}.",
                style.name(),
                second.name(),
                first.name()
            )
        }
        Subject::Poster(shape, colour, title) => {
            let noun = with_article(&format!("{} {}", colour.name(), shape.name()));
            format!("A poster shows {noun} and is titled {}.", title.to_lowercase())
        }
        Subject::Board(Board::Sum(a, b)) => format!("A board asks for {a} + {b}, which is {}.", a + b),
        Subject::Board(Board::Code(a, b)) => {
            format!("A board shows python code: a = {a}, then a + {b}, which is {}.", a + b)
        }
        Subject::Board(Board::Spanish(word)) => {
            let (word, meaning) = SPANISH.get(*word).copied().unwrap_or_default();
            format!(
                "A board shows the Spanish word {}, which means {meaning}.",
                word.to_lowercase()
            )
        }
    }
}
