//! Questions as VQAv2 asks them: short, about what is there, with ten annotators who do not always agree.

use serde_json::json;

use super::dice::Dice;
use super::scene::Scene;
use super::suite::Draft;
use super::world::{Backdrop, Colour, Shape, in_words, with_article};
use super::{Balance, Turn};

/// Pictures, and questions about each.
const PICTURES: usize = 40;
const QUESTIONS: usize = 4;

/// The number of the first picture, as COCO numbers them.
const FIRST_IMAGE: usize = 900_001;

/// A question with its annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    text: String,
    /// The words that it begins with, as the annotators' tables group questions.
    question_type: &'static str,
    answer_type: &'static str,
    answer: String,
    /// What somebody might say instead.
    others: Vec<String>,
}

impl Question {
    /// As a model is asked it.
    pub fn turn(&self) -> Turn {
        Turn {
            prompt: benchmarks::paper_prompt::vqav2(&self.text),
            answer: self.answer.clone(),
        }
    }

    fn yes_no(text: String, question_type: &'static str, yes: bool) -> Self {
        let [answer, other] = if yes { ["yes", "no"] } else { ["no", "yes"] };
        Self {
            text,
            question_type,
            answer_type: "yes/no",
            answer: answer.to_owned(),
            others: vec![other.to_owned()],
        }
    }

    fn number(text: String, count: usize) -> Self {
        let mut others: Vec<String> = in_words(count).map(str::to_owned).into_iter().collect();
        others.push((count + 1).to_string());
        Self {
            text,
            question_type: "how many",
            answer_type: "number",
            answer: count.to_string(),
            others,
        }
    }

    fn other(text: String, question_type: &'static str, answer: &str, others: &[&str]) -> Self {
        Self {
            text,
            question_type,
            answer_type: "other",
            answer: answer.to_owned(),
            others: others
                .iter()
                .filter(|other| **other != answer)
                .map(|other| (*other).to_owned())
                .collect(),
        }
    }
}

/// A question about the scene; `None` where the kind that came up has nothing to ask.
pub fn ask(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    if scene.all_things().is_empty() && scene.signs().is_empty() {
        return None;
    }
    match dice.below(9) {
        0 | 1 => Some(how_many(scene, dice)),
        2 => {
            let thing = dice.any(&scene.named_by_shape())?;
            let shape = thing.shape.name();
            let text = dice
                .one(["What color is the {}?", "What is the color of the {}?"])
                .replace("{}", shape);
            let question_type = if text.starts_with("What color") {
                "what color is the"
            } else {
                "what is the"
            };
            Some(Question::other(
                text,
                question_type,
                thing.colour.name(),
                &["red", "dark", "light"],
            ))
        }
        3 => {
            let thing = dice.any(&scene.named_by_colour())?;
            let colour = thing.colour.name();
            let text = dice
                .one(["What shape is the {} object?", "Which shape is {}?"])
                .replace("{}", colour);
            let question_type = if text.starts_with("What") { "what" } else { "which" };
            Some(Question::other(
                text,
                question_type,
                thing.shape.name(),
                &["shape", "thing"],
            ))
        }
        4 => {
            let wanted = dice.chance(50);
            let (colour, shape) = if wanted {
                let thing = dice.any(scene.all_things())?;
                (thing.colour, thing.shape)
            } else {
                scene.absent(dice)
            };
            let noun = with_article(&format!("{} {}", colour.name(), shape.name()));
            let text = dice
                .one(["Is there {}?", "Is there {} in the picture?"])
                .replace("{}", &noun);
            Some(Question::yes_no(text, "is there a", wanted))
        }
        5 => {
            let thing = dice.any(&scene.named_by_shape())?;
            let wanted = dice.chance(50);
            let colour = if wanted {
                thing.colour
            } else {
                other_colour(thing.colour, dice)
            };
            let text = format!("Is the {} {}?", thing.shape.name(), colour.name());
            Some(Question::yes_no(text, "is the", wanted))
        }
        6 => {
            let sign = dice
                .any(&scene.signs().iter().collect::<Vec<_>>())
                .filter(|_| scene.signs().len() == 1)?;
            let text = dice
                .one(["What does the sign say?", "What is written on the sign?"])
                .to_owned();
            let question_type = if text.starts_with("What does") {
                "what does the"
            } else {
                "what is"
            };
            Some(Question::other(text, question_type, &sign.said(), &["sign", "word"]))
        }
        7 => {
            let wanted = dice.chance(50);
            if scene.signs().is_empty() == wanted {
                return None;
            }
            Some(Question::yes_no("Is there a sign?".to_owned(), "is there a", wanted))
        }
        _ => {
            let backdrop = scene.backdrop;
            let text = dice
                .one(["What is in the background?", "What is behind the objects?"])
                .to_owned();
            if scene.all_things().is_empty() || backdrop == Backdrop::Plain && dice.chance(70) {
                return None;
            }
            Some(Question::other(
                text,
                "what is",
                backdrop.name(),
                &["nothing", "ground"],
            ))
        }
    }
}

fn how_many(scene: &Scene, dice: &mut Dice) -> Question {
    // Mostly about what is there: the answer would else be 0 nearly always.
    let thing = dice.any(scene.all_things()).filter(|_| dice.chance(85));
    if dice.chance(70) {
        let shape = thing.map_or(dice.one(Shape::ALL), |thing| thing.shape);
        let form = dice.one(["How many {} are there?", "How many {} are in the picture?"]);
        Question::number(form.replace("{}", shape.plural()), scene.count_shape(shape))
    } else {
        let colour = thing.map_or(dice.one(Colour::ALL), |thing| thing.colour);
        let form = dice.one(["How many {} objects are there?", "How many objects are {}?"]);
        Question::number(form.replace("{}", colour.name()), scene.count_colour(colour))
    }
}

/// Any colour but that.
pub fn other_colour(colour: Colour, dice: &mut Dice) -> Colour {
    let step = 1 + dice.below(Colour::ALL.len() - 1);
    Colour::ALL[(colour as usize + step) % Colour::ALL.len()]
}

/// Ten answers: seven to ten of them the right one.
pub fn annotators(answer: &str, others: &[String], dice: &mut Dice) -> Vec<String> {
    let right = 7 + dice.below(4);
    let mut answers: Vec<String> = (0..10)
        .map(|number| match (number < right, others.get(dice.below(others.len()))) {
            (false, Some(other)) => other.clone(),
            _ => answer.to_owned(),
        })
        .collect();
    dice.shuffle(&mut answers);
    answers
}

/// Writes questions, annotations and pictures as the organisers' files of val2014 have them.
pub fn write(draft: &mut Draft<'_>) {
    let (mut questions, mut annotations) = (Vec::new(), Vec::new());
    let mut balance = Balance::default();
    for image in FIRST_IMAGE..FIRST_IMAGE + PICTURES {
        let (scene, mut dice) = draft.scene(|dice| Some(Scene::things(dice)));
        draft.picture(&format!("val2014/COCO_val2014_{image:012}.jpg"), &scene);
        let asked = several(&scene, &mut dice, &mut balance);
        for (number, question) in asked.into_iter().enumerate() {
            let id = image * 1000 + number;
            let answers = annotators(&question.answer, &question.others, &mut dice);
            let answers: Vec<serde_json::Value> = (1..)
                .zip(answers)
                .map(|(id, answer)| json!({"answer": answer, "answer_confidence": "yes", "answer_id": id}))
                .collect();
            questions.push(json!({"image_id": image, "question": question.text, "question_id": id}));
            annotations.push(json!({
                "question_type": question.question_type,
                "multiple_choice_answer": question.answer,
                "answers": answers,
                "image_id": image,
                "answer_type": question.answer_type,
                "question_id": id,
            }));
        }
    }
    let about = |questions: &str, list: Vec<serde_json::Value>| {
        json!({
            "info": {"description": "vila-bench mini suite: drawn scenes in the layout of VQA v2.0", "version": "1.0"},
            "data_type": "mscoco",
            "data_subtype": "val2014",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            questions: list,
        })
    };
    let questions = about("questions", questions);
    draft.json("v2_OpenEnded_mscoco_val2014_questions.json", &questions);
    draft.json("v2_mscoco_val2014_annotations.json", &about("annotations", annotations));
}

/// Different questions about a scene.
fn several(scene: &Scene, dice: &mut Dice, balance: &mut Balance) -> Vec<Question> {
    let mut asked: Vec<Question> = Vec::new();
    while asked.len() < QUESTIONS {
        if let Some(question) = ask(scene, dice)
            && asked.iter().all(|earlier| earlier.text != question.text)
            && balance.takes(&question.answer)
        {
            asked.push(question);
        }
    }
    asked
}
