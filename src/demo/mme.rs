//! Pairs of questions as MME asks them: of two about a picture the first is to be answered yes, the second no. All
//! fourteen subtasks have a kind of picture of their own in this world.

use super::Turn;
use super::dice::Dice;
use super::scene::{Board, Scene, Subject};
use super::suite::Draft;
use super::vqav2::other_colour;
use super::world::{Backdrop, Character, Landmark, SPANISH, Shape, Style, WORDS, with_article};

/// Pictures of each subtask.
const PICTURES: usize = 6;

/// A subtask, named as its folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subtask {
    Existence,
    Count,
    Position,
    Color,
    Posters,
    Celebrity,
    Scene,
    Landmark,
    Artwork,
    Ocr,
    CommonsenseReasoning,
    NumericalCalculation,
    TextTranslation,
    CodeReasoning,
}

impl Subtask {
    const ALL: [Self; 14] = [
        Self::Existence,
        Self::Count,
        Self::Position,
        Self::Color,
        Self::Posters,
        Self::Celebrity,
        Self::Scene,
        Self::Landmark,
        Self::Artwork,
        Self::Ocr,
        Self::CommonsenseReasoning,
        Self::NumericalCalculation,
        Self::TextTranslation,
        Self::CodeReasoning,
    ];

    const fn folder(self) -> &'static str {
        match self {
            Self::Existence => "existence",
            Self::Count => "count",
            Self::Position => "position",
            Self::Color => "color",
            Self::Posters => "posters",
            Self::Celebrity => "celebrity",
            Self::Scene => "scene",
            Self::Landmark => "landmark",
            Self::Artwork => "artwork",
            Self::Ocr => "OCR",
            Self::CommonsenseReasoning => "commonsense_reasoning",
            Self::NumericalCalculation => "numerical_calculation",
            Self::TextTranslation => "text_translation",
            Self::CodeReasoning => "code_reasoning",
        }
    }

    /// Whether the release keeps pictures and questions in folders of their own.
    const fn is_nested(self) -> bool {
        matches!(
            self,
            Self::Posters | Self::Celebrity | Self::Scene | Self::Landmark | Self::Artwork
        )
    }

    /// A scene that it can be asked about.
    fn scene(self, dice: &mut Dice) -> Scene {
        match self {
            Self::Posters => Scene::poster(dice),
            Self::Celebrity => Scene::face(dice),
            Self::Landmark => Scene::landmark(dice),
            Self::Artwork => Scene::artwork(dice),
            Self::Ocr => Scene::with_sign(dice),
            Self::NumericalCalculation => Scene::sum(dice),
            Self::TextTranslation => Scene::spanish(dice),
            Self::CodeReasoning => Scene::code(dice),
            _ => Scene::things(dice),
        }
    }

    /// The question to be answered yes and the one to be answered no; `None` where the scene has nothing to ask.
    fn ask(self, scene: &Scene, dice: &mut Dice) -> Option<[String; 2]> {
        let pair = |form: &str, yes: &str, no: &str| Some([yes, no].map(|what| form.replace("{}", what)));
        match self {
            Self::Existence => {
                let thing = dice.any(scene.all_things())?;
                let (colour, shape) = scene.absent(dice);
                let absent = format!("{} {}", colour.name(), shape.name());
                pair(
                    "Is there {} in this image?",
                    &with_article(&thing.noun()),
                    &with_article(&absent),
                )
            }
            Self::Count => {
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
            Self::Position => {
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
                pair(&form, side.relation(), side.opposite().relation())
            }
            Self::Color => {
                let thing = dice.any(&scene.named_by_shape())?;
                let form = format!("Is the color of the {} {{}}?", thing.shape.name());
                pair(&form, thing.colour.name(), other_colour(thing.colour, dice).name())
            }
            Self::Posters => {
                let Subject::Poster(_, _, title) = &scene.subject else {
                    return None;
                };
                pair(
                    "Is this poster titled {}?",
                    &title.to_lowercase(),
                    &other(title, &WORDS, dice).to_lowercase(),
                )
            }
            Self::Celebrity => {
                let Subject::Face(character, _) = &scene.subject else {
                    return None;
                };
                let names = Character::ALL.map(Character::name);
                let name = character.name();
                pair(
                    "Is the character in this image called {}?",
                    name,
                    other(name, &names, dice),
                )
            }
            Self::Scene => {
                let name = scene.backdrop.name();
                let names = Backdrop::ALL.map(Backdrop::name);
                pair("Is the background of this image {}?", name, other(name, &names, dice))
            }
            Self::Landmark => {
                let Subject::Landmark(landmark, _) = &scene.subject else {
                    return None;
                };
                let names = Landmark::ALL.map(Landmark::name);
                let name = landmark.name();
                pair("Is this an image of the {}?", name, other(name, &names, dice))
            }
            Self::Artwork => {
                let Subject::Artwork(style, _) = &scene.subject else {
                    return None;
                };
                let names = Style::ALL.map(Style::name);
                let name = style.name();
                pair("Does this artwork show {}?", name, other(name, &names, dice))
            }
            Self::Ocr => {
                let [sign] = scene.signs() else { return None };
                let wrong = if sign.is_number() {
                    (10 + (sign.text.parse::<usize>().unwrap_or(0) + 1 + dice.below(80)) % 90).to_string()
                } else {
                    other(&sign.text, &WORDS, dice).to_lowercase()
                };
                let what = if sign.is_number() { "number" } else { "word" };
                pair(&format!("Is the {what} on the sign \"{{}}\"?"), &sign.said(), &wrong)
            }
            Self::CommonsenseReasoning => {
                let thing = dice.any(&scene.named_by_colour())?;
                let sides = thing.shape.sides()?;
                let wrong = if sides == 4 { 3 } else { 4 };
                let form = format!("Does the {} object have {{}} sides?", thing.colour.name());
                pair(&form, &sides.to_string(), &wrong.to_string())
            }
            Self::NumericalCalculation => {
                let Subject::Board(Board::Sum(a, b)) = scene.subject else {
                    return None;
                };
                pair(
                    "Is the answer to the arithmetic question in the image {}?",
                    &(a + b).to_string(),
                    &wrong_sum(a, b, dice).to_string(),
                )
            }
            Self::TextTranslation => {
                let Subject::Board(Board::Spanish(word)) = scene.subject else {
                    return None;
                };
                let meanings = SPANISH.map(|(_, meaning)| meaning);
                let meaning = *meanings.get(word)?;
                pair(
                    "Is it appropriate to translate the Spanish in the image into English '{}'?",
                    meaning,
                    other(meaning, &meanings, dice),
                )
            }
            Self::CodeReasoning => {
                let Subject::Board(Board::Code(a, b)) = scene.subject else {
                    return None;
                };
                pair(
                    "The image shows a python code. Is the output of the code '{}'?",
                    &(a + b).to_string(),
                    &wrong_sum(a, b, dice).to_string(),
                )
            }
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
    let [yes, no] = subtask.ask(scene, dice)?;
    let (question, answer) = if dice.chance(50) { (yes, "yes") } else { (no, "no") };
    Some(Turn {
        prompt: benchmarks::paper_prompt::mme(&question),
        answer: answer.to_owned(),
    })
}

/// Writes a text file and a picture for each pair, as the release has them.
pub fn write(draft: &mut Draft<'_>) {
    for subtask in Subtask::ALL {
        let (texts, pictures) = if subtask.is_nested() {
            ("/questions_answers_YN", "/images")
        } else {
            ("", "")
        };
        let folder = format!("MME_Benchmark_release_version/{}", subtask.folder());
        let mut number = 0;
        while number < PICTURES {
            let (scene, mut dice) = draft.scene(|dice| Some(subtask.scene(dice)));
            let Some([yes, no]) = subtask.ask(&scene, &mut dice) else {
                continue;
            };
            number += 1;
            draft.picture(&format!("{folder}{pictures}/{number:04}.jpg"), &scene);
            let lines = format!("{yes} Please answer yes or no.\tYes\n{no} Please answer yes or no.\tNo\n");
            draft.file(&format!("{folder}{texts}/{number:04}.txt"), lines);
        }
    }
}
