//! Pairs of questions as MME asks them: of two about a picture the first is to be answered yes, the second no. All
//! fourteen subtasks have a kind of picture of their own in this world.

use benchmarks::MmeSubtask as Subtask;

use super::Turn;
use super::dice::Dice;
use super::scene::{Board, Scene, Subject};
use super::suite::Draft;
use super::vqav2::other_colour;
use super::world::{Backdrop, Character, Landmark, SPANISH, Shape, Style, WORDS, with_article};

/// Pictures of each subtask.
const PICTURES: usize = 6;

/// A scene that it can be asked about.
fn scene_for(subtask: Subtask, dice: &mut Dice) -> Scene {
    match subtask {
        Subtask::Posters => Scene::poster(dice),
        Subtask::Celebrity => Scene::face(dice),
        Subtask::Landmark => Scene::landmark(dice),
        Subtask::Artwork => Scene::artwork(dice),
        Subtask::Ocr => Scene::with_sign(dice),
        Subtask::NumericalCalculation => Scene::sum(dice),
        Subtask::TextTranslation => Scene::spanish(dice),
        Subtask::CodeReasoning => Scene::code(dice),
        _ => Scene::things(dice),
    }
}

/// The question to be answered yes and the one to be answered no; `None` where the scene has nothing to ask.
fn pair(subtask: Subtask, scene: &Scene, dice: &mut Dice) -> Option<[String; 2]> {
    let filled = |form: &str, yes: &str, no: &str| Some([yes, no].map(|what| form.replace("{}", what)));
    match subtask {
        Subtask::Existence => {
            let thing = dice.any(scene.all_things())?;
            let (colour, shape) = scene.absent(dice);
            let absent = format!("{} {}", colour.name(), shape.name());
            filled(
                "Is there {} in this image?",
                &with_article(&thing.noun()),
                &with_article(&absent),
            )
        }
        Subtask::Count => {
            // Every other time about the most frequent form, which else would hardly come up.
            let most = Shape::ALL.into_iter().max_by_key(|shape| scene.count_shape(*shape))?;
            let any = dice.any(scene.all_things())?.shape;
            let shape = if dice.chance(50) { most } else { any };
            let count = scene.count_shape(shape);
            let wrong = if count > 1 && dice.chance(50) {
                count - 1
            } else {
                count + 1
            };
            let said = |count: usize| match count {
                1 => format!("Is there only one {} in the image?", shape.name()),
                _ => format!("Are there {count} {} in the image?", shape.plural()),
            };
            Some([said(count), said(wrong)])
        }
        Subtask::Position => {
            let mut things = scene.distinct();
            dice.shuffle(&mut things);
            let [first, second, ..] = things.as_slice() else {
                return None;
            };
            let sides: Vec<_> = super::world::Side::ALL
                .into_iter()
                .filter(|side| first.is_at(*side, second))
                .collect();
            let side = dice.any(&sides)?;
            let form = format!("Is the {} {{}} the {}?", first.noun(), second.noun());
            filled(&form, side.relation(), side.opposite().relation())
        }
        Subtask::Color => {
            let thing = dice.any(&scene.named_by_shape())?;
            let form = format!("Is the color of the {} {{}}?", thing.shape.name());
            filled(&form, thing.colour.name(), other_colour(thing.colour, dice).name())
        }
        Subtask::Posters => {
            let Subject::Poster(_, _, title) = &scene.subject else {
                return None;
            };
            filled(
                "Is this poster titled {}?",
                &title.to_lowercase(),
                &other(title, &WORDS, dice).to_lowercase(),
            )
        }
        Subtask::Celebrity => {
            let Subject::Face(character, _) = &scene.subject else {
                return None;
            };
            let names = Character::ALL.map(Character::name);
            let name = character.name();
            filled(
                "Is the character in this image called {}?",
                name,
                other(name, &names, dice),
            )
        }
        Subtask::Scene => {
            let name = scene.backdrop.name();
            let names = Backdrop::ALL.map(Backdrop::name);
            filled("Is the background of this image {}?", name, other(name, &names, dice))
        }
        Subtask::Landmark => {
            let Subject::Landmark(landmark, _) = &scene.subject else {
                return None;
            };
            let names = Landmark::ALL.map(Landmark::name);
            let name = landmark.name();
            filled("Is this an image of the {}?", name, other(name, &names, dice))
        }
        Subtask::Artwork => {
            let Subject::Artwork(style, _) = &scene.subject else {
                return None;
            };
            let names = Style::ALL.map(Style::name);
            let name = style.name();
            filled("Does this artwork show {}?", name, other(name, &names, dice))
        }
        Subtask::Ocr => {
            let [sign] = scene.signs() else { return None };
            let wrong = if sign.is_number() {
                (10 + (sign.text.parse::<usize>().unwrap_or(0) + 1 + dice.below(80)) % 90).to_string()
            } else {
                other(&sign.text, &WORDS, dice).to_lowercase()
            };
            let what = if sign.is_number() { "number" } else { "word" };
            filled(&format!("Is the {what} on the sign \"{{}}\"?"), &sign.said(), &wrong)
        }
        Subtask::CommonsenseReasoning => {
            let thing = dice.any(&scene.named_by_colour())?;
            let sides = thing.shape.sides()?;
            let wrong = if sides == 4 { 3 } else { 4 };
            let form = format!("Does the {} object have {{}} sides?", thing.colour.name());
            filled(&form, &sides.to_string(), &wrong.to_string())
        }
        Subtask::NumericalCalculation => {
            let Subject::Board(Board::Sum(a, b)) = scene.subject else {
                return None;
            };
            filled(
                "Is the answer to the arithmetic question in the image {}?",
                &(a + b).to_string(),
                &wrong_sum(a, b, dice).to_string(),
            )
        }
        Subtask::TextTranslation => {
            let Subject::Board(Board::Spanish(word)) = scene.subject else {
                return None;
            };
            let meanings = SPANISH.map(|(_, meaning)| meaning);
            let meaning = *meanings.get(word)?;
            filled(
                "Is it appropriate to translate the Spanish in the image into English '{}'?",
                meaning,
                other(meaning, &meanings, dice),
            )
        }
        Subtask::CodeReasoning => {
            let Subject::Board(Board::Code(a, b)) = scene.subject else {
                return None;
            };
            filled(
                "The image shows a python code. Is the output of the code '{}'?",
                &(a + b).to_string(),
                &wrong_sum(a, b, dice).to_string(),
            )
        }
    }
}

/// A member of the list that is not `right`.
fn other<'a>(right: &str, list: &[&'a str], dice: &mut Dice) -> &'a str {
    let others: Vec<&str> = list.iter().copied().filter(|other| *other != right).collect();
    dice.any(&others).unwrap_or("nothing")
}

fn wrong_sum(a: usize, b: usize, dice: &mut Dice) -> usize {
    let right = a + b;
    if dice.chance(50) {
        right + 1 + dice.below(3)
    } else {
        right - 1 - dice.below(right.min(3) - 1)
    }
}

/// One question of a pair that can be asked about the scene, yes and no equally often.
pub fn ask(scene: &Scene, dice: &mut Dice) -> Option<Turn> {
    let own = match scene.subject {
        Subject::Things(..) => None,
        Subject::Face(..) => Some(Subtask::Celebrity),
        Subject::Landmark(..) => Some(Subtask::Landmark),
        Subject::Artwork(..) => Some(Subtask::Artwork),
        Subject::Poster(..) => Some(Subtask::Posters),
        Subject::Board(Board::Sum(..)) => Some(Subtask::NumericalCalculation),
        Subject::Board(Board::Code(..)) => Some(Subtask::CodeReasoning),
        Subject::Board(Board::Spanish(..)) => Some(Subtask::TextTranslation),
    };
    let subtask = own.unwrap_or_else(|| {
        dice.one([
            Subtask::Existence,
            Subtask::Count,
            Subtask::Count,
            Subtask::Position,
            Subtask::Position,
            Subtask::Color,
            Subtask::Scene,
            Subtask::Ocr,
            Subtask::CommonsenseReasoning,
        ])
    });
    let [yes, no] = pair(subtask, scene, dice)?;
    let (question, answer) = if dice.chance(50) { (yes, "yes") } else { (no, "no") };
    Some(Turn {
        prompt: benchmarks::paper_prompt::mme(&question),
        answer: answer.to_owned(),
    })
}

/// Writes a text file and a picture for each pair, as the release has them.
pub fn write(draft: &mut Draft<'_>) {
    for subtask in Subtask::all() {
        let (texts, pictures) = if subtask.is_nested() {
            ("/questions_answers_YN", "/images")
        } else {
            ("", "")
        };
        let folder = format!("MME_Benchmark_release_version/{}", subtask.id());
        let mut number = 0;
        while number < PICTURES {
            let (scene, mut dice) = draft.scene(|dice| Some(scene_for(subtask, dice)));
            let Some([yes, no]) = pair(subtask, &scene, &mut dice) else {
                continue;
            };
            number += 1;
            draft.picture(&format!("{folder}{pictures}/{number:04}.jpg"), &scene);
            let lines = format!("{yes} Please answer yes or no.\tYes\n{no} Please answer yes or no.\tNo\n");
            draft.file(&format!("{folder}{texts}/{number:04}.txt"), lines);
        }
    }
}
