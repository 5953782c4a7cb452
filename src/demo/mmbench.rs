//! Multiple choice as MMBench asks it: once for each rotation of the options, right only where all are.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Turn;
use super::dice::Dice;
use super::scene::{Quality, Scene, Subject};
use super::suite::Draft;
use super::world::{Backdrop, Character, Colour, Landmark, Place, Shape, Side, WORDS};

/// Questions of each category.
const QUESTIONS: usize = 5;

/// A row's index is its question's number plus this for each rotation.
const ROTATION: usize = 1_000_000;

/// The first question's number.
const FIRST: usize = 241;

/// What a question is about, as the organisers' tables name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Category {
    AttributeRecognition,
    AttributeComparison,
    ObjectLocalization,
    SpatialRelationship,
    Ocr,
    ImageScene,
    ImageQuality,
    CelebrityRecognition,
    PhysicalProperty,
}

impl Category {
    const ALL: [Self; 9] = [
        Self::AttributeRecognition,
        Self::AttributeComparison,
        Self::ObjectLocalization,
        Self::SpatialRelationship,
        Self::Ocr,
        Self::ImageScene,
        Self::ImageQuality,
        Self::CelebrityRecognition,
        Self::PhysicalProperty,
    ];

    /// Its name and the group of level 2 that it belongs to.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::AttributeRecognition => ("attribute_recognition", "finegrained_perception (instance-level)"),
            Self::AttributeComparison => ("attribute_comparison", "finegrained_perception (cross-instance)"),
            Self::ObjectLocalization => ("object_localization", "finegrained_perception (instance-level)"),
            Self::SpatialRelationship => ("spatial_relationship", "finegrained_perception (cross-instance)"),
            Self::Ocr => ("ocr", "finegrained_perception (instance-level)"),
            Self::ImageScene => ("image_scene", "coarse_perception"),
            Self::ImageQuality => ("image_quality", "coarse_perception"),
            Self::CelebrityRecognition => ("celebrity_recognition", "finegrained_perception (instance-level)"),
            Self::PhysicalProperty => ("physical_property_reasoning", "attribute_reasoning"),
        }
    }

    fn scene(self, dice: &mut Dice) -> Scene {
        match self {
            Self::Ocr => Scene::with_sign(dice),
            Self::CelebrityRecognition => {
                if dice.chance(50) {
                    Scene::face(dice)
                } else {
                    Scene::landmark(dice)
                }
            }
            Self::ImageQuality => {
                let mut scene = Scene::things(dice);
                scene.quality = dice.one([Quality::Sharp, Quality::Smeared, Quality::Dark]);
                scene
            }
            _ => Scene::things(dice),
        }
    }

    /// The question with its options, the right one first; `None` where the scene has nothing to ask.
    fn ask(self, scene: &Scene, dice: &mut Dice) -> Option<(String, Vec<String>)> {
        match self {
            Self::AttributeRecognition => {
                let thing = dice.any(&scene.named_by_shape())?;
                let text = format!("What is the color of the {}?", thing.shape.name());
                Some((
                    text,
                    offered(thing.colour.name(), &Colour::ALL.map(Colour::name), 4, dice),
                ))
            }
            Self::AttributeComparison => {
                let mut things = scene.named_by_shape();
                dice.shuffle(&mut things);
                let [first, second, ..] = things.as_slice() else {
                    return None;
                };
                let (one, other) = (first.shape.name(), second.shape.name());
                let text = format!("Do the {one} and the {other} have the same color?");
                let options = ["same color", "different colors"];
                let right = options[usize::from(first.colour != second.colour)];
                Some((text, offered(right, &options, 2, dice)))
            }
            Self::ObjectLocalization => {
                if dice.chance(40) {
                    let shape = dice.any(scene.all_things())?.shape;
                    let text = format!("How many {} are in the image?", shape.plural());
                    let counts = ["1", "2", "3", "4", "5"];
                    let right = scene.count_shape(shape).to_string();
                    return Some((text, offered(&right, &counts, 4, dice)));
                }
                let thing = dice.any(&scene.distinct())?;
                let text = format!("Where is the {} in the image?", thing.noun());
                Some((
                    text,
                    offered(thing.place().name(), &Place::ALL.map(Place::name), 4, dice),
                ))
            }
            Self::SpatialRelationship => {
                let mut things = scene.distinct();
                dice.shuffle(&mut things);
                let [first, second, ..] = things.as_slice() else {
                    return None;
                };
                let sides: Vec<Side> = Side::ALL
                    .into_iter()
                    .filter(|side| first.is_at(*side, second))
                    .collect();
                // One side only is right, so both things lie in one row or one column.
                let [side] = sides.as_slice() else { return None };
                let text = format!("Where is the {} relative to the {}?", first.noun(), second.noun());
                Some((text, offered(side.name(), &Side::ALL.map(Side::name), 4, dice)))
            }
            Self::Ocr => {
                let [sign] = scene.signs() else { return None };
                let others: Vec<String> = if sign.is_number() {
                    (0..9)
                        .map(|_| (10 + dice.below(if sign.text.len() > 2 { 900 } else { 90 })).to_string())
                        .collect()
                } else {
                    WORDS.map(str::to_lowercase).to_vec()
                };
                let others: Vec<&str> = others.iter().map(String::as_str).collect();
                let text = "What is written on the sign in the image?".to_owned();
                Some((text, offered(&sign.said(), &others, 4, dice)))
            }
            Self::ImageScene => {
                let text = "What is in the background of the image?".to_owned();
                Some((
                    text,
                    offered(scene.backdrop.name(), &Backdrop::ALL.map(Backdrop::name), 4, dice),
                ))
            }
            Self::ImageQuality => {
                let options = ["clear", "blurred", "dark"];
                let right = match scene.quality {
                    Quality::Sharp => "clear",
                    Quality::Smeared => "blurred",
                    Quality::Dark => "dark",
                    Quality::Soft | Quality::Finger => return None,
                };
                Some((
                    "How is the quality of the image?".to_owned(),
                    offered(right, &options, 3, dice),
                ))
            }
            Self::CelebrityRecognition => match &scene.subject {
                Subject::Face(character, _) => {
                    let text = "What is the name of the character in the image?".to_owned();
                    Some((
                        text,
                        offered(character.name(), &Character::ALL.map(Character::name), 4, dice),
                    ))
                }
                Subject::Landmark(landmark, _) => {
                    let text = "What is the name of the building in the image?".to_owned();
                    Some((
                        text,
                        offered(landmark.name(), &Landmark::ALL.map(Landmark::name), 4, dice),
                    ))
                }
                _ => None,
            },
            Self::PhysicalProperty => {
                let thing = dice.any(&scene.named_by_colour())?;
                let text = format!("Which of these is most like the {} object?", thing.colour.name());
                let alike = |shape: Shape| match shape {
                    Shape::Circle => "a ball",
                    Shape::Square => "a box",
                    Shape::Triangle => "a tent",
                    Shape::Star => "a sea star",
                    Shape::Heart => "a strawberry",
                    Shape::Diamond => "a kite",
                };
                Some((text, offered(alike(thing.shape), &Shape::ALL.map(alike), 4, dice)))
            }
        }
    }
}

/// The right option and others from the list, `count` in all.
fn offered(right: &str, list: &[&str], count: usize, dice: &mut Dice) -> Vec<String> {
    let mut options = vec![right.to_owned()];
    let mut others = list.to_vec();
    dice.shuffle(&mut others);
    for other in others {
        if options.len() < count && options.iter().all(|option| option != other) {
            options.push(other.to_owned());
        }
    }
    options
}

/// The letter of an option.
fn letter(position: usize) -> &'static str {
    ["A", "B", "C", "D"].get(position).copied().unwrap_or("E")
}

/// The options moved on so that the first comes to stand at `position`.
fn rotated(options: &[String], position: usize) -> Vec<String> {
    let mut options = options.to_vec();
    let count = options.len().max(1);
    options.rotate_right(position % count);
    options
}

/// As a model is asked about the scene, the right option anywhere; `None` where the kind that came up has nothing to ask.
pub fn ask(scene: &Scene, dice: &mut Dice) -> Option<Turn> {
    let category = match scene.subject {
        _ if !scene.is_clear() => Category::ImageQuality,
        Subject::Face(..) | Subject::Landmark(..) => Category::CelebrityRecognition,
        Subject::Things(..) => dice.one(Category::ALL),
        _ => dice.one([Category::ImageQuality, Category::ImageScene]),
    };
    let (text, options) = category.ask(scene, dice)?;
    let right = dice.below(options.len());
    let mut shown: Vec<&str> = options.iter().skip(1).map(String::as_str).collect();
    dice.shuffle(&mut shown);
    shown.insert(right, options.first()?);
    Some(Turn {
        prompt: benchmarks::paper_prompt::mmbench(&text, &shown),
        answer: letter(right).to_owned(),
    })
}

/// Writes the TSV of the release of 2023-07-12: rotations show the picture of their question's first row by its index.
pub fn write(draft: &mut Draft<'_>) {
    let mut table =
        "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage\tsource\tl2-category\tcomment\tsplit\n".to_owned();
    let mut rows = Vec::new();
    let mut number = FIRST;
    for category in Category::ALL {
        let mut asked = 0;
        while asked < QUESTIONS {
            let (scene, mut dice) = draft.scene(|dice| Some(category.scene(dice)));
            let Some((text, options)) = category.ask(&scene, &mut dice) else {
                continue;
            };
            let picture = BASE64_STANDARD.encode(draft.jpeg(&scene));
            let first = dice.below(options.len());
            for rotation in 0..options.len() {
                let right = (first + rotation) % options.len();
                let mut cells = rotated(&options, right);
                cells.resize(4, String::new());
                let shown = if rotation == 0 {
                    picture.clone()
                } else {
                    number.to_string()
                };
                let (leaf, group) = category.names();
                let row = format!(
                    "{}\t{text}\t\t{}\t{}\t{leaf}\t{shown}\tmini-suite\t{group}\t\tdev\n",
                    number + rotation * ROTATION,
                    cells.join("\t"),
                    letter(right),
                );
                rows.push((rotation, number, row));
            }
            asked += 1;
            number += 1;
        }
    }
    // The release has all first rotations before all second ones.
    rows.sort_by_key(|(rotation, number, _)| (*rotation, *number));
    table.extend(rows.into_iter().map(|(_, _, row)| row));
    draft.file("mmbench_dev_20230712.tsv", table);
}
