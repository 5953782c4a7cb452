//! Questions as MM-Vet asks them: open, each needing some of six capabilities, with reference answers whose parts must
//! all be said (`<AND>`) or of which one will do (`<OR>`).

use serde_json::{Map, json};

use super::Turn;
use super::captions;
use super::dice::Dice;
use super::scene::{Board, Scene, Subject};
use super::suite::Draft;
use super::world::{SPANISH, Side, in_words, with_article};

/// Pictures, and questions about each at most.
const PICTURES: usize = 60;
const QUESTIONS: usize = 2;

/// A question with its reference answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    text: String,
    /// The reference answer in the organisers' form.
    reference: String,
    /// A good answer in a sentence or two.
    said: String,
    capabilities: &'static [&'static str],
}

impl Question {
    /// What it must say.
    #[cfg(test)]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// As a model is asked it: the question alone.
    pub fn turn(&self) -> Turn {
        Turn {
            prompt: self.text.clone(),
            answer: self.said.clone(),
        }
    }
}

/// `3<OR>three`
fn number(value: usize) -> String {
    match in_words(value) {
        Some(word) => format!("{value}<OR>{word}"),
        None => value.to_string(),
    }
}

/// A question about the scene; `None` where the kind that came up has nothing to ask.
pub fn ask(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    match &scene.subject {
        Subject::Things(..) => about_things(scene, dice),
        Subject::Face(character, _) => Some(Question {
            text: dice
                .one(["Who is this?", "What is the name of the character in the image?"])
                .to_owned(),
            reference: character.name().to_owned(),
            said: format!("This is {}.", character.name()),
            capabilities: &["rec", "know"],
        }),
        Subject::Landmark(landmark, _) => Some(Question {
            text: dice
                .one([
                    "Which building is this?",
                    "What is the name of the building in the image?",
                ])
                .to_owned(),
            reference: landmark.name().to_owned(),
            said: format!("This is the {}.", landmark.name()),
            capabilities: &["rec", "know"],
        }),
        Subject::Artwork(style, [first, second]) => Some(Question {
            text: dice
                .one(["Describe the painting.", "What does the painting look like?"])
                .to_owned(),
            reference: [style.name(), first.name(), second.name()].join("<AND>"),
            said: format!(
                "The painting shows {} in {} on {}.",
                style.name(),
                second.name(),
                first.name()
            ),
            capabilities: &["rec", "gen"],
        }),
        Subject::Poster(shape, colour, title) => Some(match dice.below(2) {
            0 => Question {
                text: "What is the title of the poster?".to_owned(),
                reference: title.to_lowercase(),
                said: format!("The title is {}.", title.to_lowercase()),
                capabilities: &["ocr"],
            },
            _ => Question {
                text: "Describe the poster.".to_owned(),
                reference: format!("{} {}<AND>{}", colour.name(), shape.name(), title.to_lowercase()),
                said: format!(
                    "The poster shows {} and is titled {}.",
                    with_article(&format!("{} {}", colour.name(), shape.name())),
                    title.to_lowercase()
                ),
                capabilities: &["rec", "ocr", "gen"],
            },
        }),
        Subject::Board(board) => Some(about_board(*board, dice)),
    }
}

fn about_board(board: Board, dice: &mut Dice) -> Question {
    match board {
        Board::Sum(a, b) => Question {
            text: dice
                .one(["What is the answer to the sum on the board?", "What is the result?"])
                .to_owned(),
            reference: number(a + b),
            said: format!("The answer is {}.", a + b),
            capabilities: &["ocr", "math"],
        },
        Board::Code(a, b) => Question {
            text: dice
                .one(["What does this code give?", "What is the output of the code?"])
                .to_owned(),
            reference: number(a + b),
            said: format!("The code gives {}.", a + b),
            capabilities: &["ocr", "math", "know"],
        },
        Board::Spanish(word) => {
            let (_, meaning) = SPANISH.get(word).copied().unwrap_or_default();
            Question {
                text: dice
                    .one([
                        "What does the word mean in English?",
                        "What does the Spanish word on the board mean?",
                    ])
                    .to_owned(),
                reference: meaning.to_owned(),
                said: format!("It means {meaning}."),
                capabilities: &["ocr", "know"],
            }
        }
    }
}

fn about_things(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    match dice.below(6) {
        0 => {
            let [sign] = scene.signs() else { return None };
            Some(Question {
                text: dice
                    .one(["What does the sign in the image say?", "Read the sign."])
                    .to_owned(),
                reference: sign.said(),
                said: format!("The sign says {}.", sign.said()),
                capabilities: &["ocr"],
            })
        }
        1 => {
            let thing = dice.any(&scene.distinct())?;
            let side = dice.one(Side::ALL);
            let found = scene.only_one_at(side, &thing)?;
            let (relation, from, to) = (side.relation(), thing.noun(), found.noun());
            Some(Question {
                text: format!("Which object is {relation} the {from}?"),
                reference: to.clone(),
                said: format!("The {to} is {relation} the {from}."),
                capabilities: &["rec", "spat"],
            })
        }
        2 => {
            let thing = dice.any(&scene.distinct())?;
            Some(Question {
                text: format!("Where in the image is the {}?", thing.noun()),
                reference: thing.place().name().to_owned(),
                said: format!("The {} is at the {}.", thing.noun(), thing.place().name()),
                capabilities: &["rec", "spat"],
            })
        }
        3 => {
            let count = scene.all_things().len();
            Some(Question {
                text: "How many objects are in the image, without signs?".to_owned(),
                reference: number(count),
                said: match count {
                    1 => "There is 1 object.".to_owned(),
                    _ => format!("There are {count} objects."),
                },
                capabilities: &["rec", "math"],
            })
        }
        4 => {
            let sign = scene.signs().first().filter(|_| scene.signs().len() == 1)?;
            let thing = dice.any(&scene.distinct())?;
            let above = thing.row < sign.row;
            Some(Question {
                text: format!(
                    "Is the {} above or below the sign, and what does the sign say?",
                    thing.noun()
                ),
                reference: format!("{}<AND>{}", if above { "above" } else { "below" }, sign.said()),
                said: format!(
                    "The {} is {} the sign, and the sign says {}.",
                    thing.noun(),
                    if above { "above" } else { "below" },
                    sign.said()
                ),
                capabilities: &["rec", "ocr", "spat"],
            })
        }
        _ => {
            let mut nouns: Vec<String> = scene.all_things().iter().map(|thing| thing.noun()).collect();
            nouns.dedup();
            (nouns.len() <= 3).then(|| Question {
                text: dice
                    .one(["Describe the image in one sentence.", "What can be seen in the image?"])
                    .to_owned(),
                reference: nouns
                    .iter()
                    .cloned()
                    .chain(scene.signs().iter().map(|sign| sign.said()))
                    .collect::<Vec<_>>()
                    .join("<AND>"),
                said: captions::short(scene),
                capabilities: &["rec", "gen"],
            })
        }
    }
}

/// Writes `mm-vet.json` and the pictures as the organisers' archive has them.
pub fn write(draft: &mut Draft<'_>) {
    let mut records = Map::new();
    for picture in 0..PICTURES {
        let (scene, mut dice) = draft.scene(|dice| {
            Some(match dice.below(10) {
                0 => Scene::face(dice),
                1 => Scene::landmark(dice),
                2 => Scene::poster(dice),
                3 => Scene::sum(dice),
                4 => Scene::spanish(dice),
                5 | 6 => Scene::with_sign(dice),
                _ => Scene::things(dice),
            })
        });
        let name = format!("v1_{picture}.jpg");
        draft.picture(&format!("images/{name}"), &scene);
        let mut asked: Vec<Question> = Vec::new();
        for _ in 0..50 {
            if asked.len() < QUESTIONS
                && let Some(question) = ask(&scene, &mut dice)
                && asked.iter().all(|earlier| earlier.reference != question.reference)
            {
                asked.push(question);
            }
        }
        for question in asked {
            let record = json!({
                "imagename": name,
                "question": question.text,
                "answer": question.reference,
                "capability": question.capabilities,
                "imagesource": "mini-suite",
            });
            records.insert(format!("v1_{}", records.len()), record);
        }
    }
    draft.json("mm-vet.json", &records.into());
}
