//! Questions as POPE asks them: is a thing there? Its rule for things that are not there is kept: drawn at random, or the
//! most frequent ones, or those that are most often seen together with what is there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::Turn;
use super::dice::Dice;
use super::scene::Scene;
use super::suite::Draft;
use super::world::{Colour, Shape, with_article};

/// Pictures.
const PICTURES: usize = 24;

/// Questions about a picture that are to be answered yes, and as many no, in each category.
const EACH: usize = 3;

/// The number of the first picture, as COCO numbers them.
const FIRST_IMAGE: usize = 910_001;

/// A colour and a form, what POPE calls an object.
type Object = (Colour, Shape);

/// As a model is asked for a thing that is there or, every other time, is not.
pub fn ask(scene: &Scene, dice: &mut Dice) -> Option<Turn> {
    if scene.all_things().is_empty() {
        return None;
    }
    let wanted = dice.chance(50);
    let object = if wanted {
        dice.any(scene.all_things()).map(|thing| (thing.colour, thing.shape))?
    } else {
        scene.absent(dice)
    };
    Some(Turn {
        prompt: benchmarks::paper_prompt::pope(&question(object)),
        answer: if wanted { "yes" } else { "no" }.to_owned(),
    })
}

fn question((colour, shape): Object) -> String {
    let noun = format!("{} {}", colour.name(), shape.name());
    format!("Is there {} in the image?", with_article(&noun))
}

/// What is in a scene.
fn objects(scene: &Scene) -> BTreeSet<Object> {
    let things = scene.all_things().iter();
    things.map(|thing| (thing.colour, thing.shape)).collect()
}

/// How often things are seen in the pictures, alone and together.
#[derive(Debug, Default)]
struct Counts {
    alone: BTreeMap<Object, usize>,
    together: BTreeMap<(Object, Object), usize>,
}

impl Counts {
    fn of(pictures: &[BTreeSet<Object>]) -> Self {
        let mut counts = Self::default();
        for objects in pictures {
            for one in objects {
                *counts.alone.entry(*one).or_default() += 1;
                for other in objects.iter().filter(|other| *other != one) {
                    *counts.together.entry((*one, *other)).or_default() += 1;
                }
            }
        }
        counts
    }

    /// The absent objects with the highest `value`, ties in the order of the world's lists.
    fn highest(present: &BTreeSet<Object>, value: impl Fn(Object) -> usize) -> Vec<Object> {
        let all = Colour::ALL
            .iter()
            .flat_map(|colour| Shape::ALL.map(|shape| (*colour, shape)));
        let mut absent: Vec<Object> = all.filter(|object| !present.contains(object)).collect();
        absent.sort_by_key(|object| std::cmp::Reverse(value(*object)));
        absent.truncate(EACH);
        absent
    }

    fn popular(&self, present: &BTreeSet<Object>) -> Vec<Object> {
        Self::highest(present, |object| self.alone.get(&object).copied().unwrap_or(0))
    }

    fn adversarial(&self, present: &BTreeSet<Object>) -> Vec<Object> {
        let seen_with = |object, other: &Object| self.together.get(&(object, *other)).copied().unwrap_or(0);
        Self::highest(present, |object| {
            present.iter().map(|other| seen_with(object, other)).sum()
        })
    }
}

/// Writes the three label files, JSON Lines, and the pictures as the release has them.
pub fn write(draft: &mut Draft<'_>) {
    let mut drawn = Vec::new();
    for number in 0..PICTURES {
        let (scene, dice) = draft.scene(|dice| {
            let scene = Scene::things(dice);
            (objects(&scene).len() >= EACH).then_some(scene)
        });
        let image = format!("COCO_val2014_{:012}.jpg", FIRST_IMAGE + number);
        draft.picture(&format!("val2014/{image}"), &scene);
        drawn.push((image, objects(&scene), dice));
    }
    let pictures: Vec<BTreeSet<Object>> = drawn.iter().map(|(_, objects, _)| objects.clone()).collect();
    let counts = Counts::of(&pictures);
    let mut lines = [String::new(), String::new(), String::new()];
    let mut id = 0;
    for (image, objects, mut dice) in drawn {
        let mut present: Vec<Object> = objects.iter().copied().collect();
        dice.shuffle(&mut present);
        let mut absent = Vec::new();
        while absent.len() < EACH {
            let object = (dice.one(Colour::ALL), dice.one(Shape::ALL));
            if !objects.contains(&object) && !absent.contains(&object) {
                absent.push(object);
            }
        }
        let by_category = [absent, counts.popular(&objects), counts.adversarial(&objects)];
        for (lines, absent) in lines.iter_mut().zip(by_category) {
            let pairs = present.iter().zip(absent);
            for (number, (object, label)) in pairs.flat_map(|(yes, no)| [(*yes, "yes"), (no, "no")]).enumerate() {
                let line = json!({
                    "question_id": id + number + 1,
                    "image": image,
                    "text": question(object),
                    "label": label,
                });
                *lines += &format!("{line}\n");
            }
        }
        id += 2 * EACH;
    }
    for (category, lines) in ["random", "popular", "adversarial"].into_iter().zip(lines) {
        draft.file(&format!("coco/coco_pope_{category}.json"), lines);
    }
}
