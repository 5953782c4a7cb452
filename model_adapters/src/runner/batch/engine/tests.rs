//! The engine against one question at a time, on a tiny random model.

use super::*;
use crate::runner::model::tests::{model, pixels};
use proptest::prelude::*;

/// A question: its picture, its own ids, how long its answer may be.
#[derive(Debug, Clone)]
struct Asked {
    picture: usize,
    ids: Vec<u32>,
    limit: usize,
}

fn asked(picture: usize, ids: &[u32], limit: usize) -> Asked {
    Asked {
        picture,
        ids: ids.to_vec(),
        limit,
    }
}

fn prompt(ids: &[u32]) -> Rc<[PromptToken]> {
    let mut tokens = vec![PromptToken::Text(1), PromptToken::Picture(0), PromptToken::Text(13)];
    tokens.extend(ids.iter().map(|&id| PromptToken::Text(id)));
    tokens.into()
}

fn limits(limit: usize) -> GenerationLimits {
    GenerationLimits { max_new_tokens: limit }
}

const ROOMY: Room = Room {
    rows: 64,
    bytes: usize::MAX,
};

/// A spread that has seen enough and found nothing moved beyond rounding.
const TRUSTING: Spread = Spread {
    largest: 1e-7,
    questions: 8,
    longest: 1000,
};

struct Answered {
    generations: Vec<Result<Generation, String>>,
    work: Work,
}

/// Groups neighbours about the same picture, as the plan does, and answers all of them.
fn in_batch(model: &mut VilaModel, questions: &[Asked], room: Room, exactness: Exactness, spread: Spread) -> Answered {
    let mut spread = spread;
    let mut engine = Engine::new(model, room, exactness, &mut spread);
    let mut generations = vec![None; questions.len()];
    let mut ticket = 0;
    for group in questions.chunk_by(|a, b| a.picture == b.picture) {
        let picture = engine.encode(&pixels(0.3 + group[0].picture as f32)).unwrap();
        let prompts = group.iter().map(|question| {
            ticket += 1;
            Prompt {
                ticket: ticket - 1,
                tokens: prompt(&question.ids),
                limits: limits(question.limit),
            }
        });
        engine.submit(prompts.collect(), &Rc::from([picture])).unwrap();
        if !engine.is_hungry() {
            for outcome in engine.step().unwrap() {
                generations[outcome.ticket] = Some(outcome.result);
            }
        }
    }
    while !engine.is_idle() {
        for outcome in engine.step().unwrap() {
            assert!(generations[outcome.ticket].is_none(), "answered twice");
            generations[outcome.ticket] = Some(outcome.result);
        }
    }
    assert!(engine.in_flight.is_empty());
    Answered {
        generations: generations.into_iter().map(Option::unwrap).collect(),
        work: engine.work,
    }
}

fn one_at_a_time(model: &mut VilaModel, questions: &[Asked]) -> Vec<Result<Generation, String>> {
    let answer = |question: &Asked| {
        let picture = model.encode_picture(&pixels(0.3 + question.picture as f32)).unwrap();
        let generation = model.generate(&prompt(&question.ids), &[picture], limits(question.limit));
        generation.map_err(|error| error.to_string())
    };
    questions.iter().map(answer).collect()
}

/// Three groups: five questions with common beginnings and a repetition, one question, two.
fn three_groups() -> Vec<Asked> {
    vec![
        asked(0, &[5, 6, 7], 3),
        asked(0, &[5, 6, 8, 9], 5),
        asked(0, &[5, 6, 7], 3),
        asked(0, &[11], 1),
        asked(0, &[5, 30, 31, 32, 33], 2),
        asked(1, &[5, 6, 7], 40),
        asked(2, &[5, 6, 7], 2),
        asked(2, &[5, 6, 9], 2),
    ]
}

#[test]
fn a_batch_gives_the_tokens_of_one_at_a_time_without_asking_again() {
    let mut model = model(None);
    let questions = three_groups();
    let alone = one_at_a_time(&mut model, &questions);
    let batch = in_batch(&mut model, &questions, ROOMY, Exactness::Fast, TRUSTING);
    assert_eq!(batch.generations, alone);
    assert_eq!(batch.work.measured, 0);
}

#[test]
fn the_work_is_what_it_must_be() {
    let mut model = model(None);
    let work = in_batch(&mut model, &three_groups(), ROOMY, Exactness::Fast, TRUSTING).work;
    // A prompt is 1 + 4 + 1 positions and its own ids; the first group's trie has 5, 6, 7, 8, 9, 11, 30, 31, 32, 33.
    let prefilled = (6 + 10) + (6 + 3) + (6 + 2 + 2);
    let per_position = model.llama().bytes_per_position();
    assert_eq!(per_position, 2 * 3 * 2 * 8 * 4);
    // Before anything ends: prefixes of groups one and three, then own positions with room for the answers.
    let first = 6 + 5 * (5 + 5);
    let (second, third) = (9 + 40, 8 + 2 * (1 + 2));
    assert_eq!(
        work,
        Work {
            questions: 8,
            tower_forwards: 3,
            prefill_passes: 1,
            prefilled,
            prompt_positions: 6 * 8 + 3 + 4 + 3 + 1 + 5 + 3 + 3 + 3,
            decode_steps: 39,
            decoded: 2 + 4 + 2 + 1 + 39 + 1 + 1,
            kv_bytes: (first + second + third) * per_position,
            ..Work::default()
        }
    );
    assert_eq!(work.positions_saved(), 73 - 35);
}

#[test]
fn the_text_before_the_pictures_is_prefilled_once() {
    let mut model = model(None);
    let questions = [
        asked(0, &[5, 6], 2),
        asked(1, &[5, 7], 2),
        asked(1, &[5, 8], 2),
        asked(2, &[9], 1),
    ];
    let alone = one_at_a_time(&mut model, &questions);
    let room = Room { rows: 2, ..ROOMY };
    let batch = in_batch(&mut model, &questions, room, Exactness::Fast, TRUSTING);
    assert_eq!(batch.generations, alone);
    // Token 1 stands before the picture: the second and the third group copy it.
    assert_eq!(batch.work.prefilled, (6 + 2) + (6 - 1 + 1 + 2) + (6 - 1 + 1));
    assert_eq!(batch.work.prefill_passes, 3);
}

/// What the work of one of the bench's workloads must be, with the tiny model: 4 picture positions, `1`, the picture and
/// `13` shared, then `own` tokens of which the last differs from question to question.
struct Shape {
    pictures: usize,
    questions: usize,
    own: usize,
    answer: usize,
}

impl Shape {
    fn work(&self, model: &mut VilaModel) -> Work {
        let question = |n: usize| {
            let mut ids = vec![20_u32; self.own - 1];
            ids.push(21 + (n % self.questions) as u32 % 28);
            asked(n / self.questions, &ids, self.answer)
        };
        let questions: Vec<Asked> = (0..self.pictures * self.questions).map(question).collect();
        // No end token is met: the answers are as long as they may be.
        model.ignore_end_tokens();
        let alone = one_at_a_time(model, &questions);
        let batch = in_batch(model, &questions, ROOMY, Exactness::Fast, TRUSTING);
        assert_eq!(batch.generations, alone);
        batch.work
    }
}

#[test]
fn the_work_of_every_workload_is_what_it_must_be() {
    let cases = [
        // POPE: 18 a picture; a common beginning, then one token a question.
        (
            Shape {
                pictures: 2,
                questions: 18,
                own: 5,
                answer: 2,
            },
            2 * (6 + 4 + 18),
            1,
            36,
        ),
        // GQA: 32 a picture, of which the 28 different ones are prefilled.
        (
            Shape {
                pictures: 2,
                questions: 32,
                own: 5,
                answer: 3,
            },
            2 * (6 + 4 + 28),
            2,
            128,
        ),
        // MMBench: rotations of a question.
        (
            Shape {
                pictures: 3,
                questions: 4,
                own: 9,
                answer: 2,
            },
            3 * (6 + 8 + 4),
            1,
            12,
        ),
        // MME: two a picture.
        (
            Shape {
                pictures: 4,
                questions: 2,
                own: 5,
                answer: 2,
            },
            4 * (6 + 4 + 2),
            1,
            8,
        ),
        // VizWiz: nothing is shared.
        (
            Shape {
                pictures: 5,
                questions: 1,
                own: 6,
                answer: 4,
            },
            5 * (6 + 6),
            3,
            15,
        ),
        // MM-Vet: long answers, one a picture.
        (
            Shape {
                pictures: 3,
                questions: 1,
                own: 6,
                answer: 80,
            },
            3 * (6 + 6),
            79,
            237,
        ),
        // Longer than caches are at first.
        (
            Shape {
                pictures: 2,
                questions: 1,
                own: 6,
                answer: 140,
            },
            2 * (6 + 6),
            139,
            278,
        ),
    ];
    for (shape, prefilled, decode_steps, decoded) in cases {
        let mut model = model(None);
        let work = shape.work(&mut model);
        let all = shape.pictures * shape.questions;
        let per_position = model.llama().bytes_per_position();
        // Before anything ends: where questions share, the prefix once and what is the question's own; room for the
        // answer, at first for 128 tokens at most.
        let answers = all * shape.answer.min(128);
        let kv = if shape.questions > 1 {
            shape.pictures * (6 + shape.own - 1) + all + answers
        } else {
            all * (6 + shape.own) + answers
        };
        // Where that is not enough the cache grows, at last to the room of the whole answer but its last token.
        let kv = kv.max(if shape.answer > 128 {
            all * (6 + shape.own + shape.answer - 1)
        } else {
            0
        });
        assert_eq!(
            work,
            Work {
                questions: all,
                tower_forwards: shape.pictures,
                prefill_passes: 1,
                prefilled,
                prompt_positions: all * (6 + shape.own),
                decode_steps,
                decoded,
                kv_bytes: kv * per_position + model.cache_bytes(),
                ..Work::default()
            }
        );
    }
}

#[test]
fn nothing_is_trusted_before_the_sample_is_measured() {
    let mut model = model(None);
    let questions: Vec<Asked> = (0..20).map(|n| asked(n / 10, &[5, n as u32, 7], 3)).collect();
    let alone = one_at_a_time(&mut model, &questions);
    let batch = in_batch(&mut model, &questions, ROOMY, Exactness::Exact, Spread::default());
    assert_eq!(batch.generations, alone);
    assert_eq!((batch.work.measured, batch.work.close, batch.work.differing), (8, 0, 0));
}

#[test]
fn close_choices_are_asked_again_alone() {
    let mut model = model(None);
    let questions = three_groups();
    let alone = one_at_a_time(&mut model, &questions);
    let doubting = Spread {
        largest: 1e9,
        ..TRUSTING
    };
    let batch = in_batch(&mut model, &questions, ROOMY, Exactness::Exact, doubting);
    assert_eq!(batch.generations, alone);
    assert_eq!((batch.work.close, batch.work.decode_steps), (8, 0));
    let fast = in_batch(&mut model, &questions, ROOMY, Exactness::Fast, doubting);
    assert_eq!((fast.work.close, fast.work.measured), (0, 0));
}

#[test]
fn a_failed_allocation_costs_time_and_no_answer() {
    let mut model = model(None);
    let questions = three_groups();
    let alone = one_at_a_time(&mut model, &questions);
    for steps in 0..6 {
        let mut spread = TRUSTING;
        let picture = Rc::from([model.encode_picture(&pixels(0.3)).unwrap()]);
        let mut engine = Engine::new(&mut model, ROOMY, Exactness::Exact, &mut spread);
        let prompts = questions.iter().take(5).enumerate().map(|(ticket, question)| Prompt {
            ticket,
            tokens: prompt(&question.ids),
            limits: limits(question.limit),
        });
        engine.submit(prompts.collect(), &picture).unwrap();
        let mut answered = BTreeMap::new();
        for step in 0.. {
            if engine.is_idle() {
                break;
            }
            if step == steps {
                engine.retreat();
            }
            answered.extend(
                engine
                    .step()
                    .unwrap()
                    .into_iter()
                    .map(|outcome| (outcome.ticket, outcome.result)),
            );
        }
        assert_eq!(
            answered.into_values().collect::<Vec<_>>(),
            alone[..5],
            "after {steps} steps"
        );
    }
}

#[test]
fn a_cut_prompt_shares_nothing() {
    let mut model = model(Some(8));
    let questions = [asked(0, &[5, 6], 3), asked(0, &[5, 7], 3), asked(0, &[5, 6, 7], 3)];
    let alone = one_at_a_time(&mut model, &questions);
    let batch = in_batch(&mut model, &questions, ROOMY, Exactness::Fast, TRUSTING);
    assert_eq!(batch.generations, alone);
    assert!(batch.generations[2].as_ref().unwrap().truncated);
    assert_eq!(batch.work.prefilled, 7 + 2 + 8);
    // Cut within the picture, all of them.
    let mut model = self::model(Some(4));
    let alone = one_at_a_time(&mut model, &questions);
    let batch = in_batch(&mut model, &questions, ROOMY, Exactness::Fast, TRUSTING);
    assert_eq!(batch.generations, alone);
    assert_eq!(batch.work.prefilled, 3 * 4);
}

#[test]
fn a_bad_question_fails_alone() {
    let mut model = model(None);
    let mut questions = three_groups();
    questions[1].ids = vec![5, 77];
    let batch = in_batch(&mut model, &questions, ROOMY, Exactness::Exact, TRUSTING);
    let failed: Vec<usize> = (0..8).filter(|&n| batch.generations[n].is_err()).collect();
    assert_eq!(failed, [1]);
    assert_eq!(
        batch.generations[1],
        Err("token 77 of the prompt has no row in the embedding of 50 rows".to_owned())
    );
}

#[test]
fn questions_without_a_picture_share_too() {
    let mut model = model(None);
    let mut spread = TRUSTING;
    let texts: [&[u32]; 3] = [&[1, 5, 6, 7], &[1, 5, 8], &[1, 5]];
    let tokens = |ids: &[u32]| -> Rc<[PromptToken]> { ids.iter().map(|&id| PromptToken::Text(id)).collect() };
    let alone: Vec<_> = texts
        .iter()
        .map(|ids| {
            model
                .generate(&tokens(ids), &[], limits(4))
                .map_err(|error| error.to_string())
        })
        .collect();
    let mut engine = Engine::new(&mut model, ROOMY, Exactness::Exact, &mut spread);
    let prompts = texts.iter().enumerate().map(|(ticket, ids)| Prompt {
        ticket,
        tokens: tokens(ids),
        limits: limits(4),
    });
    engine.submit(prompts.collect(), &Rc::from([])).unwrap();
    let mut answered = BTreeMap::new();
    while !engine.is_idle() {
        answered.extend(
            engine
                .step()
                .unwrap()
                .into_iter()
                .map(|outcome| (outcome.ticket, outcome.result)),
        );
    }
    assert_eq!(answered.into_values().collect::<Vec<_>>(), alone);
    // One token, then the trie of `5 6 7`, `5 8` and `5`.
    assert_eq!(engine.work.prefilled, 1 + 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_grouping_order_and_batch_size_give_the_tokens_of_one_at_a_time(
        shape in prop::collection::vec((0_usize..3, prop::collection::vec(0_u32..4, 1..5), 0_usize..7), 1..14),
        rows in 1_usize..9,
        bytes in prop::sample::select(vec![0, 30_000, usize::MAX]),
        known in any::<bool>(),
    ) {
        let mut model = model(None);
        let questions: Vec<Asked> = shape.iter().map(|(picture, ids, limit)| asked(*picture, ids, *limit)).collect();
        let alone = one_at_a_time(&mut model, &questions);
        let spread = if known { TRUSTING } else { Spread::default() };
        let batch = in_batch(&mut model, &questions, Room { rows, bytes }, Exactness::Exact, spread);
        prop_assert_eq!(batch.generations, alone);
    }
}
