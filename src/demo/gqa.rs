//! Questions as GQA makes them from scene graphs: with types, a program of reasoning steps, and pointers to objects.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::scene::{Scene, Thing};
use super::suite::Draft;
use super::vqav2::other_colour;
use super::world::{Backdrop, Colour, Shape, Side, with_article};
use super::{Balance, Turn};

/// Pictures, and questions about each.
const PICTURES: usize = 40;
const QUESTIONS: usize = 4;

/// A question with all that GQA says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    text: String,
    answer: String,
    full_answer: String,
    structural: &'static str,
    semantic: &'static str,
    detailed: &'static str,
    /// Operation and argument of each step; what it depends on follows from the operation.
    steps: Vec<(String, String)>,
    /// The things that the question names, by their place in the scene.
    names: Vec<usize>,
    /// The answers that one could give.
    choices: Vec<&'static str>,
}

impl Question {
    /// As a model is asked it.
    pub fn turn(&self) -> Turn {
        Turn {
            prompt: benchmarks::paper_prompt::gqa(&self.text),
            answer: self.answer.clone(),
        }
    }

    /// The group over whose answers GQA takes the distribution: none for questions with two answers.
    fn group(&self) -> Option<&'static str> {
        match (self.structural, self.semantic) {
            ("query", "attr") => Some("color"),
            ("query", "rel") => Some("shape"),
            ("query", _) => Some("place"),
            _ => None,
        }
    }
}

/// A thing with its place in the scene.
#[derive(Debug, Clone, Copy)]
struct Named {
    thing: Thing,
    number: usize,
}

impl Named {
    /// The step that finds it.
    fn select(self) -> (String, String) {
        (
            "select".to_owned(),
            format!("{} ({})", self.thing.shape.name(), self.number),
        )
    }
}

fn numbered(scene: &Scene, things: &[Thing]) -> Vec<Named> {
    let number = |thing: &Thing| scene.all_things().iter().position(|other| other == thing);
    let named = things
        .iter()
        .filter_map(|thing| number(thing).map(|number| Named { thing: *thing, number }));
    named.collect()
}

fn step(operation: &str, argument: &str) -> (String, String) {
    (operation.to_owned(), argument.to_owned())
}

const YES_NO: [&str; 2] = ["yes", "no"];

fn yes_no(yes: bool) -> String {
    YES_NO[usize::from(!yes)].to_owned()
}

/// A question about the scene; `None` where the kind that came up has nothing to ask.
pub fn ask(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    match dice.below(14) {
        0..2 => query_colour(scene, dice),
        // Rarely there is exactly one thing on a side.
        2..6 => query_relation(scene, dice),
        6 => query_place(scene, dice),
        7..9 => verify_colour(scene, dice),
        9 => verify_relation(scene, dice),
        10 => choose_colour(scene, dice),
        11 => choose_relation(scene, dice),
        12 => logical(scene, dice),
        _ => compare(scene, dice),
    }
}

fn query_colour(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    let named = dice.any(&numbered(scene, &scene.named_by_shape()))?;
    let (shape, colour) = (named.thing.shape.name(), named.thing.colour.name());
    Some(Question {
        text: dice
            .one(["What color is the {}?", "Which color is the {}?"])
            .replace("{}", shape),
        answer: colour.to_owned(),
        full_answer: format!("The {shape} is {colour}."),
        structural: "query",
        semantic: "attr",
        detailed: "directOf",
        steps: vec![named.select(), step("query", "color")],
        names: vec![named.number],
        choices: Colour::ALL.map(Colour::name).to_vec(),
    })
}

fn query_relation(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    let from = dice.any(&numbered(scene, &scene.distinct()))?;
    let side = dice.one(Side::ALL);
    let found = scene.only_one_at(side, &from.thing)?;
    let (noun, relation, answer) = (from.thing.noun(), side.relation(), found.shape.name());
    Some(Question {
        text: dice
            .one(["What is {} the {}?", "What shape is {} the {}?"])
            .replacen("{}", relation, 1)
            .replacen("{}", &noun, 1),
        answer: answer.to_owned(),
        full_answer: format!("The {answer} is {relation} the {noun}."),
        structural: "query",
        semantic: "rel",
        detailed: "relS",
        steps: vec![
            from.select(),
            step("relate", &format!("_,{relation},s")),
            step("query", "name"),
        ],
        names: vec![from.number],
        choices: Shape::ALL.map(Shape::name).to_vec(),
    })
}

fn query_place(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    if scene.all_things().is_empty() || scene.backdrop == Backdrop::Plain && dice.chance(60) {
        return None;
    }
    let answer = scene.backdrop.name();
    Some(Question {
        text: dice
            .one(["What is in the background?", "What is behind the objects?"])
            .to_owned(),
        answer: answer.to_owned(),
        full_answer: format!("The background is the {answer}."),
        structural: "query",
        semantic: "global",
        detailed: "place",
        steps: vec![step("select", "scene"), step("query", "place")],
        names: Vec::new(),
        choices: Backdrop::ALL.map(Backdrop::name).to_vec(),
    })
}

fn verify_colour(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    let named = dice.any(&numbered(scene, &scene.named_by_shape()))?;
    let yes = dice.chance(50);
    let (shape, is) = (named.thing.shape.name(), named.thing.colour);
    let asked = if yes { is } else { other_colour(is, dice) };
    Some(Question {
        text: dice
            .one(["Is the {} {}?", "Does the {} look {}?"])
            .replacen("{}", shape, 1)
            .replacen("{}", asked.name(), 1),
        answer: yes_no(yes),
        full_answer: format!("{}, the {shape} is {}.", if yes { "Yes" } else { "No" }, is.name()),
        structural: "verify",
        semantic: "attr",
        detailed: "verifyAttr",
        steps: vec![named.select(), step("verify color", asked.name())],
        names: vec![named.number],
        choices: YES_NO.to_vec(),
    })
}

/// Two different things that their nouns name, and a side on which the first lies of the second.
fn pair(scene: &Scene, dice: &mut Dice) -> Option<(Named, Named, Side)> {
    let mut named = numbered(scene, &scene.distinct());
    dice.shuffle(&mut named);
    let [first, second, ..] = named.as_slice() else {
        return None;
    };
    let sides: Vec<Side> = Side::ALL
        .into_iter()
        .filter(|side| first.thing.is_at(*side, &second.thing))
        .collect();
    Some((*first, *second, dice.any(&sides)?))
}

fn verify_relation(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    let (first, second, side) = pair(scene, dice)?;
    let yes = dice.chance(50);
    let asked = if yes { side } else { side.opposite() };
    let (one, other) = (first.thing.noun(), second.thing.noun());
    Some(Question {
        text: format!("Is the {one} {} the {other}?", asked.relation()),
        answer: yes_no(yes),
        full_answer: format!(
            "{}, the {one} is {} the {other}.",
            if yes { "Yes" } else { "No" },
            side.relation()
        ),
        structural: "verify",
        semantic: "rel",
        detailed: "relVerify",
        steps: vec![
            second.select(),
            step("verify rel", &format!("{one},{},s", asked.relation())),
        ],
        names: vec![first.number, second.number],
        choices: YES_NO.to_vec(),
    })
}

fn choose_colour(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    let named = dice.any(&numbered(scene, &scene.named_by_shape()))?;
    let (shape, right) = (named.thing.shape.name(), named.thing.colour);
    let mut offered = [right.name(), other_colour(right, dice).name()];
    dice.shuffle(&mut offered);
    Some(Question {
        text: format!("Is the {shape} {} or {}?", offered[0], offered[1]),
        answer: right.name().to_owned(),
        full_answer: format!("The {shape} is {}.", right.name()),
        structural: "choose",
        semantic: "attr",
        detailed: "chooseAttr",
        steps: vec![named.select(), step("choose color", &offered.join("|"))],
        names: vec![named.number],
        choices: offered.to_vec(),
    })
}

fn choose_relation(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    let (first, second, side) = pair(scene, dice)?;
    let (one, other) = (first.thing.noun(), second.thing.noun());
    let (text, choices) = match side {
        Side::Left | Side::Right => (
            format!("Is the {one} to the left or to the right of the {other}?"),
            vec!["left", "right"],
        ),
        Side::Above | Side::Below => (
            format!("Is the {one} above or below the {other}?"),
            vec!["above", "below"],
        ),
    };
    Some(Question {
        text,
        answer: side.name().to_owned(),
        full_answer: format!("The {one} is {} the {other}.", side.relation()),
        structural: "choose",
        semantic: "rel",
        detailed: "relChooser",
        steps: vec![
            second.select(),
            step("choose rel", &format!("{one},{},s", choices.join("|"))),
        ],
        names: vec![first.number, second.number],
        choices,
    })
}

fn logical(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    let both = dice.chance(50);
    let wanted = dice.chance(50);
    let shapes: Vec<Shape> = Shape::ALL
        .into_iter()
        .filter(|shape| scene.count_shape(*shape) > 0)
        .collect();
    let lacking: Vec<Shape> = Shape::ALL
        .into_iter()
        .filter(|shape| scene.count_shape(*shape) == 0)
        .collect();
    let (here, gone) = (dice.any(&shapes)?, dice.any(&lacking)?);
    let mut asked = match (both, wanted) {
        (true, true) => {
            let others: Vec<Shape> = shapes.iter().copied().filter(|shape| *shape != here).collect();
            [here, dice.any(&others)?]
        }
        (true, false) | (false, true) => [here, gone],
        (false, false) => {
            let others: Vec<Shape> = lacking.iter().copied().filter(|shape| *shape != gone).collect();
            [gone, dice.any(&others)?]
        }
    };
    dice.shuffle(&mut asked);
    let [first, second] = asked.map(Shape::name);
    let (word, opening, detailed) = if both {
        ("and", "both ", "existAnd")
    } else {
        ("or", "", "existOr")
    };
    let text = if both && dice.chance(50) {
        format!("Are there both {} and {}?", asked[0].plural(), asked[1].plural())
    } else {
        format!("Is there {} {word} {}?", with_article(first), with_article(second))
    };
    let lead = if wanted { "Yes, there is" } else { "No, there is not" };
    Some(Question {
        text,
        answer: yes_no(wanted),
        full_answer: format!(
            "{lead} {opening}{} {word} {}.",
            with_article(first),
            with_article(second)
        ),
        structural: "logical",
        semantic: "obj",
        detailed,
        steps: vec![
            step("select", first),
            step("exist", "?"),
            step("select", second),
            step("exist", "?"),
            step(word, ""),
        ],
        names: Vec::new(),
        choices: YES_NO.to_vec(),
    })
}

fn compare(scene: &Scene, dice: &mut Dice) -> Option<Question> {
    let wanted = dice.chance(50);
    let mut named = numbered(scene, &scene.named_by_shape());
    dice.shuffle(&mut named);
    let pairs = named
        .iter()
        .enumerate()
        .flat_map(|(at, one)| named.iter().skip(at + 1).map(move |other| (one, other)));
    let fitting: Vec<(&Named, &Named)> = pairs
        .filter(|(one, other)| (one.thing.colour == other.thing.colour) == wanted)
        .collect();
    let (one, other) = dice.any(&fitting)?;
    let [first, second] = [one, other].map(|named| named.thing.shape.name());
    Some(Question {
        text: format!("Do the {first} and the {second} have the same color?"),
        answer: yes_no(wanted),
        full_answer: if wanted {
            format!(
                "Yes, both the {first} and the {second} are {}.",
                one.thing.colour.name()
            )
        } else {
            format!(
                "No, the {first} is {} and the {second} is {}.",
                one.thing.colour.name(),
                other.thing.colour.name()
            )
        },
        structural: "compare",
        semantic: "attr",
        detailed: "twoSame",
        steps: vec![one.select(), other.select(), step("same color", "")],
        names: vec![one.number, other.number],
        choices: YES_NO.to_vec(),
    })
}

/// Writes questions, choices, scene graphs and pictures as version 1.2 has them for its validation tier.
pub fn write(draft: &mut Draft<'_>) {
    let (mut questions, mut choices, mut graphs) = (Map::new(), Map::new(), Map::new());
    let mut balance = Balance::default();
    for image in 0..PICTURES {
        let (scene, mut dice) = draft.scene(|dice| {
            let scene = Scene::things(dice);
            (scene.distinct().len() >= 2).then_some(scene)
        });
        let image_id = (2_400_001 + image).to_string();
        draft.picture(&format!("images/{image_id}.jpg"), &scene);
        graphs.insert(image_id.clone(), graph(&scene, image));
        let mut asked: Vec<Question> = Vec::new();
        while asked.len() < QUESTIONS {
            if let Some(question) = ask(&scene, &mut dice)
                && asked.iter().all(|earlier| earlier.text != question.text)
                && balance.takes(&question.answer)
            {
                asked.push(question);
            }
        }
        for (number, question) in asked.iter().enumerate() {
            let id = format!("{:08}", 2_000_000 + image * QUESTIONS + number);
            choices.insert(
                id.clone(),
                json!({"valid": question.choices, "plausible": question.choices}),
            );
            questions.insert(id.clone(), record(question, &id, &image_id, image));
        }
    }
    draft.json("questions1.2/val_balanced_questions.json", &questions.into());
    draft.json("questions1.2/val_choices.json", &choices.into());
    draft.json("sceneGraphs/val_sceneGraphs.json", &graphs.into());
}

/// A question's record.
fn record(question: &Question, id: &str, image_id: &str, image: usize) -> Value {
    let semantic: Vec<Value> = question
        .steps
        .iter()
        .enumerate()
        .map(|(at, (operation, argument))| {
            let dependencies: Vec<usize> = match operation.as_str() {
                "select" => Vec::new(),
                "and" | "or" => vec![at - 3, at - 1],
                "same color" => vec![at - 2, at - 1],
                _ => vec![at - 1],
            };
            json!({"operation": operation, "argument": argument, "dependencies": dependencies})
        })
        .collect();
    let program: Vec<String> = question
        .steps
        .iter()
        .map(|(operation, argument)| format!("{operation}: {argument}"))
        .collect();
    // A pointer's key is the word at which the thing's name stands.
    let words: Vec<&str> = question.text.split(' ').collect();
    let mut nouns = (0..words.len()).filter(|at| {
        let word = words.get(*at).map_or("", |word| word.trim_end_matches('?'));
        Shape::ALL.iter().any(|shape| shape.name() == word)
    });
    let pointers: Map<String, Value> = question
        .names
        .iter()
        .filter_map(|number| Some((nouns.next()?.to_string(), object_id(image, *number).into())))
        .collect();
    json!({
        "question": question.text,
        "imageId": image_id,
        "answer": question.answer,
        "fullAnswer": question.full_answer,
        "isBalanced": true,
        "groups": {"global": question.group(), "local": format!("{}-{}", question.detailed, question.semantic)},
        "entailed": [id],
        "equivalent": [id],
        "types": {
            "structural": question.structural,
            "semantic": question.semantic,
            "detailed": question.detailed,
        },
        "semantic": semantic,
        "semanticStr": program.join("->"),
        "annotations": {"question": pointers, "answer": {}, "fullAnswer": {}},
    })
}

fn object_id(image: usize, number: usize) -> String {
    (4_000_000 + image * 100 + number).to_string()
}

/// The scene as GQA describes it: objects with boxes, attributes and relations.
fn graph(scene: &Scene, image: usize) -> Value {
    let things = scene.all_things();
    let objects: Map<String, Value> = things
        .iter()
        .enumerate()
        .map(|(number, thing)| {
            let relations: Vec<Value> = things
                .iter()
                .enumerate()
                .flat_map(|(other, place)| {
                    let sides = Side::ALL.into_iter().filter(|side| thing.is_at(*side, place));
                    sides.map(move |side| json!({"name": side.relation(), "object": object_id(image, other)}))
                })
                .collect();
            let ([x, y], radius) = (scene.centre(thing), scene.radius(thing.size));
            let object = json!({
                "name": thing.shape.name(),
                "x": x - radius,
                "y": y - radius,
                "w": 2 * radius,
                "h": 2 * radius,
                "attributes": [thing.colour.name(), thing.size.name()],
                "relations": relations,
            });
            (object_id(image, number), object)
        })
        .collect();
    json!({
        "width": scene.width,
        "height": scene.height,
        "location": scene.backdrop.name(),
        "objects": objects,
    })
}
