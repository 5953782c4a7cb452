//! Questions as VizWiz has them: spoken by people who hold one thing before a camera and cannot see the picture, which
//! may be spoilt.

use serde_json::json;

use super::Turn;
use super::dice::Dice;
use super::scene::{Scene, Subject};
use super::suite::Draft;
use super::vqav2::{annotators, other_colour};

/// Pictures, with one question each.
const PICTURES: usize = 120;

/// Share of pictures from which nothing can be told, in per cent.
const SPOILT: usize = 30;

/// What one says who cannot tell.
const UNANSWERABLE: &str = "unanswerable";

/// A question with its annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    text: String,
    answer: String,
    answer_type: &'static str,
    /// What somebody might say instead.
    others: Vec<String>,
}

impl Question {
    /// As a model is asked it.
    pub fn turn(&self) -> Turn {
        Turn {
            prompt: benchmarks::paper_prompt::vizwiz(&self.text),
            answer: self.answer.clone(),
        }
    }
}

/// A picture as somebody takes it who cannot see it.
pub fn scene(dice: &mut Dice) -> Scene {
    let scene = Scene::lone(dice);
    if dice.chance(SPOILT) { scene.spoilt(dice) } else { scene }
}

/// A question about a picture of [`scene`], or of another with one thing or sign or too bad to tell; `None` where people
/// would not know what was meant.
pub fn ask(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    let Subject::Things(things, signs) = &scene.subject else {
        return None;
    };
    let (thing, sign) = match (things.as_slice(), signs.as_slice()) {
        ([thing], []) => (Some(thing), None),
        ([], [sign]) => (None, Some(sign)),
        (all, _) if !scene.is_clear() => (all.first(), None),
        _ => return None,
    };
    let about_text = dice.chance(if sign.is_some() { 85 } else { 12 });
    let (text, answer, answer_type) = if about_text {
        let number = sign.is_some_and(|sign| sign.is_number());
        let text = if number {
            dice.one([
                "what number is this?",
                "what does this say?",
                "can you read this number please",
            ])
        } else {
            dice.one([
                "what does this say?",
                "what does this sign say?",
                "can you read this for me please",
            ])
        };
        let kind = if number { "number" } else { "other" };
        (text.to_owned(), sign.map(|sign| sign.said()), kind)
    } else {
        let colour = thing.map(|thing| thing.colour);
        match (dice.below(3), thing) {
            (0, Some(thing)) => {
                let wanted = dice.chance(50);
                let asked = if wanted {
                    thing.colour
                } else {
                    other_colour(thing.colour, dice)
                };
                let answer = if wanted { "yes" } else { "no" };
                (format!("is this {}?", asked.name()), Some(answer.to_owned()), "yes/no")
            }
            (1, Some(thing)) => {
                let text = dice.one(["what shape is this?", "what is this?", "can you tell me what this is"]);
                (text.to_owned(), Some(thing.shape.name().to_owned()), "other")
            }
            (_, Some(_)) => {
                let text = dice.one(["what color is this?", "what is the color of this?"]);
                (text.to_owned(), colour.map(|colour| colour.name().to_owned()), "other")
            }
            (_, None) => {
                let text = dice.one(["what is this?", "can you tell me what this is"]);
                (text.to_owned(), Some("sign".to_owned()), "other")
            }
        }
    };
    Some(match answer.filter(|_| scene.is_clear()) {
        Some(answer) => Question {
            text,
            answer,
            answer_type,
            others: vec![UNANSWERABLE.to_owned()],
        },
        None => Question {
            text,
            answer: UNANSWERABLE.to_owned(),
            answer_type: UNANSWERABLE,
            others: vec!["unsuitable".to_owned()],
        },
    })
}

/// Writes `val.json` and its pictures as the organisers have them.
pub fn write(draft: &mut Draft<'_>) {
    let mut questions = Vec::new();
    for number in 0..PICTURES {
        let (scene, mut dice) = draft.scene(|dice| Some(scene(dice)));
        let Some(question) = ask(&scene, &mut dice) else {
            continue;
        };
        let image = format!("VizWiz_val_{number:08}.jpg");
        draft.picture(&format!("val/{image}"), &scene);
        let answers: Vec<serde_json::Value> = annotators(&question.answer, &question.others, &mut dice)
            .into_iter()
            .map(|answer| json!({"answer": answer, "answer_confidence": "yes"}))
            .collect();
        questions.push(json!({
            "image": image,
            "question": question.text,
            "answers": answers,
            "answer_type": question.answer_type,
            "answerable": usize::from(question.answer != UNANSWERABLE),
        }));
    }
    draft.json("val.json", &questions.into());
}
