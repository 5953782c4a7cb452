//! Questions as TextVQA asks them: what the signs say, with what an OCR program has read, rightly or not.

use serde_json::json;

use super::Turn;
use super::dice::Dice;
use super::scene::{Scene, Sign};
use super::suite::Draft;
use super::vqav2::annotators;

/// Pictures; with two signs there are two questions.
const PICTURES: usize = 90;

/// A question with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    text: String,
    answer: String,
    /// What somebody might say instead.
    others: Vec<String>,
}

impl Question {
    /// As a model is asked it where an OCR program has read `tokens`.
    pub fn turn(&self, tokens: &[String]) -> Turn {
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        Turn {
            prompt: benchmarks::paper_prompt::textvqa(&self.text, &tokens),
            answer: self.answer.clone(),
        }
    }
}

/// A question about one of the signs; `None` where there is none.
pub fn ask(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    let number = dice.below(scene.signs().len());
    about(scene, scene.signs().get(number)?, dice)
}

fn about(scene: &Scene, sign: &Sign, dice: &mut Dice) -> Option<Question> {
    let plate = sign.plate.name();
    let what = if sign.is_number() { "number" } else { "word" };
    let text = if scene.signs().len() > 1 {
        match dice.below(3) {
            0 => format!("what does the {plate} sign say?"),
            1 => format!("what is written on the {plate} sign?"),
            _ => format!("what {what} is on the {plate} sign?"),
        }
    } else {
        match dice.below(3) {
            0 => "what does the sign say?".to_owned(),
            1 => "what is written on the sign?".to_owned(),
            _ => format!("what {what} is on the sign?"),
        }
    };
    Some(Question {
        text,
        answer: sign.said(),
        others: vec![format!("{} sign", sign.said()), "unanswerable".to_owned()],
    })
}

/// What an OCR program reads: most signs as they are, some with one wrong character, some not at all.
pub fn tokens(scene: &Scene, dice: &mut Dice) -> Vec<String> {
    let mut tokens = Vec::new();
    for sign in scene.signs() {
        match dice.below(10) {
            0 => {}
            1 => {
                let at = dice.below(sign.text.len());
                let wrong = dice.one(['I', 'L', 'O', 'C', '1', '0', '7']);
                let read = sign.text.chars().enumerate();
                tokens.push(
                    read.map(|(number, right)| if number == at { wrong } else { right })
                        .collect(),
                );
            }
            _ => tokens.push(sign.text.clone()),
        }
    }
    if dice.chance(25) {
        dice.shuffle(&mut tokens);
    }
    tokens
}

/// Writes annotation, Rosetta's tokens and pictures as the release of version 0.5.1 has them.
pub fn write(draft: &mut Draft<'_>) {
    let (mut questions, mut read) = (Vec::new(), Vec::new());
    for number in 0..PICTURES {
        let (scene, mut dice) = draft.scene(|dice| Some(Scene::with_sign(dice)));
        let image = format!("{:016x}", 0x0d_e000_0000_usize + number);
        draft.picture(&format!("train_images/{image}.jpg"), &scene);
        for sign in scene.signs() {
            let Some(question) = about(&scene, sign, &mut dice) else {
                continue;
            };
            let words: Vec<&str> = question.text.trim_end_matches('?').split(' ').collect();
            questions.push(json!({
                "question": question.text,
                "image_id": image,
                "image_classes": ["Sign"],
                "image_width": scene.width,
                "image_height": scene.height,
                "question_tokens": words,
                "question_id": 34_602 + questions.len(),
                "answers": annotators(&question.answer, &question.others, &mut dice),
                "set_name": "val",
            }));
        }
        read.push(json!({"image_id": image, "ocr_tokens": tokens(&scene, &mut dice)}));
    }
    let about = |version: &str, data: Vec<serde_json::Value>| json!({"dataset_name": "textvqa", "dataset_type": "val", "dataset_version": version, "data": data});
    draft.json("TextVQA_0.5.1_val.json", &about("0.5.1", questions));
    draft.json("TextVQA_Rosetta_OCR_v0.2_val.json", &about("0.2", read));
}
