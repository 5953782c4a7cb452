//! Answers, reckoned again from what a scene's description says in words.

use std::collections::BTreeMap;

use super::dice::{Dice, Stream};
use super::scene::Scene;
use super::{Turn, gqa, mm_vet, mme, pope, textvqa, vqav2};

/// A thing as the description has it: size, colour, form, row, column.
type Said = (String, String, String, usize, usize);

/// The things of a description, and colour and text of its signs.
fn read(description: &str) -> (Vec<Said>, Vec<(String, String)>) {
    let (_, list) = description.split_once(": ").unwrap();
    let (mut things, mut signs) = (Vec::new(), Vec::new());
    for part in list.split("; ").filter(|part| !part.is_empty()) {
        let words: Vec<&str> = part.trim_end_matches(" in front").split(' ').collect();
        if words[1] == "sign" {
            signs.push((words[0].to_owned(), words[2].to_lowercase()));
            continue;
        }
        let place = words[3..].join(" ");
        let row = if place.contains("top") {
            0
        } else {
            1 + usize::from(place.contains("bottom"))
        };
        let column = if place.contains("left") {
            0
        } else {
            1 + usize::from(place.contains("right"))
        };
        things.push((
            words[0].to_owned(),
            words[1].to_owned(),
            words[2].to_owned(),
            row,
            column,
        ));
    }
    (things, signs)
}

fn yes_no(yes: bool) -> Option<String> {
    Some(if yes { "yes" } else { "no" }.to_owned())
}

/// The answer to a question of a form that is known here, with the form's name.
fn reckoned(question: &str, description: &str) -> Option<(&'static str, String)> {
    let (things, signs) = read(description);
    let question = question.trim_end_matches('?');
    let words: Vec<&str> = question.split(' ').collect();
    let named = |colour: &str, shape: &str| {
        let mut found = things.iter().filter(|thing| thing.1 == colour && thing.2 == shape);
        found.next().filter(|_| found.next().is_none())
    };
    let form = |shape: &str| things.iter().filter(|thing| thing.2 == shape).collect::<Vec<_>>();
    let side = |relation: &str, one: &Said, other: &Said| match relation {
        "to the left of" => one.4 < other.4,
        "to the right of" => one.4 > other.4,
        "above" => one.3 < other.3,
        _ => one.3 > other.3,
    };
    Some(match words.as_slice() {
        ["How", "many", plural, "are", "there"] => ("count", form(plural.trim_end_matches('s')).len().to_string()),
        ["How", "many", colour, "objects", "are", "there"] => (
            "count colour",
            things.iter().filter(|thing| thing.1 == *colour).count().to_string(),
        ),
        ["What" | "Which", "color", "is", "the", shape] => {
            assert_eq!(form(shape).len(), 1, "{question}: {description}");
            ("color", form(shape)[0].1.clone())
        }
        ["Is", "there", "a" | "an", colour, shape, "in", "the", "image"]
        | ["Is", "there", "a" | "an", colour, shape] => {
            let there = things.iter().any(|thing| thing.1 == *colour && thing.2 == *shape);
            ("existence", yes_no(there)?)
        }
        ["Is", "the", one, first, relation @ .., "the", other, second] if !relation.contains(&"or") => {
            let relation = relation.join(" ");
            let (one, other) = (named(one, first)?, named(other, second)?);
            ("relation", yes_no(side(&relation, one, other))?)
        }
        ["What", "shape", "is", relation @ .., "the", colour, shape] => {
            let (relation, from) = (relation.join(" "), named(colour, shape)?);
            let at: Vec<&Said> = things.iter().filter(|thing| side(&relation, thing, from)).collect();
            assert_eq!(at.len(), 1, "{question}: {description}");
            ("shape at a side", at[0].2.clone())
        }
        ["Do", "the", first, "and", "the", second, "have", "the", "same", "color"] => {
            ("same color", yes_no(form(first)[0].1 == form(second)[0].1)?)
        }
        ["Is", "the", "color", "of", "the", shape, colour] => ("color", yes_no(form(shape)[0].1 == *colour)?),
        ["Are", "there", count, plural, "in", "the", "image"] => {
            let there = form(plural.trim_end_matches('s')).len();
            ("count", yes_no(there.to_string() == *count)?)
        }
        ["What", "does", "the", plate, "sign", "say"] => {
            ("sign", signs.iter().find(|sign| sign.0 == *plate)?.1.clone())
        }
        ["What", "does", "the", "sign", "say"] => {
            assert_eq!(signs.len(), 1, "{question}: {description}");
            ("sign", signs[0].1.clone())
        }
        _ => return None,
    })
}

#[test]
fn answers_are_what_the_description_says() {
    let mut checked: BTreeMap<&str, usize> = BTreeMap::new();
    for number in 0..1500 {
        let mut dice = Dice::new(5, Stream::Training, number);
        let scene = Scene::things(&mut dice);
        let tokens = textvqa::tokens(&scene, &mut dice);
        let mut turns: Vec<Turn> = Vec::new();
        for _ in 0..4 {
            turns.extend(vqav2::ask(&scene, &mut dice).map(|asked| asked.turn()));
            turns.extend(gqa::ask(&scene, &mut dice).map(|asked| asked.turn()));
            turns.extend(pope::ask(&scene, &mut dice));
            turns.extend(mme::ask(&scene, &mut dice));
            turns.extend(textvqa::ask(&scene, &mut dice).map(|asked| asked.turn(&tokens)));
        }
        for turn in turns {
            let question = turn.prompt.lines().next().unwrap();
            if let Some((form, answer)) = reckoned(question, &scene.description()) {
                assert_eq!(turn.answer, answer, "{question}: {}", scene.description());
                *checked.entry(form).or_default() += 1;
            }
        }
    }
    assert_eq!(checked.len(), 8, "{checked:?}");
    assert!(checked.values().all(|count| *count > 100), "{checked:?}");
}

#[test]
fn a_spoken_answer_says_every_part_of_its_reference() {
    for number in 0..1500 {
        let mut dice = Dice::new(6, Stream::Training, number);
        let scene = match number % 6 {
            0 => Scene::face(&mut dice),
            1 => Scene::poster(&mut dice),
            2 => Scene::sum(&mut dice),
            3 => Scene::artwork(&mut dice),
            _ => Scene::things(&mut dice),
        };
        let Some(question) = mm_vet::ask(&scene, &mut dice) else {
            continue;
        };
        let said = question.turn().answer.to_lowercase();
        let reference = question.reference().to_lowercase();
        let met = reference
            .split("<and>")
            .all(|part| part.split("<or>").any(|word| said.contains(word)));
        assert!(met, "{said} / {reference}");
    }
}
