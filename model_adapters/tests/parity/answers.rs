//! The whole way of a question through the adapter, batches and all, and what is said where it has no answer.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model_adapters::{Adapter, EncodedPicture, FinishReason, PromptPart, Request};

use crate::fixture::{adapter, all, fixture, fixtures};

#[test]
fn answers_are_those_of_the_references() {
    for fixture in all() {
        let cases = &fixture.cases.cases;
        // A question whose picture is missing, in the middle of the others: its failure is its own.
        let mut requests: Vec<Request> = cases.iter().map(|case| fixture.request(case)).collect();
        let mut broken = fixture.request(&cases[0]);
        broken.id = "broken".to_owned();
        broken.prompt[0] = PromptPart::Picture(EncodedPicture {
            key: "broken".into(),
            read: Arc::new(|| Err("cannot read `broken.jpg`: no such file".to_owned())),
        });
        requests.insert(1, broken);

        let mut answers = Vec::new();
        adapter(&fixture)
            .answer(&mut requests.into_iter(), &mut |answer| {
                answers.push(answer);
                ControlFlow::Continue(())
            })
            .unwrap();
        let mut outcomes: BTreeMap<String, _> = answers.into_iter().map(|answer| (answer.id, answer.outcome)).collect();
        assert_eq!(
            outcomes.remove("broken").unwrap().unwrap_err().to_string(),
            "cannot read `broken.jpg`: no such file"
        );
        assert_eq!(outcomes.len(), cases.len());
        for case in cases {
            let generated = outcomes.remove(&case.id).unwrap().unwrap();
            assert_eq!(generated.text, case.text, "{}", case.id);
            assert_eq!(generated.new_tokens, case.tokens.len(), "{}", case.id);
            assert_eq!(
                generated.prompt_tokens,
                case.prompt_ids.len() - 1 + fixture.cases.picture_rows
            );
            assert_ne!(generated.finish, FinishReason::Replayed);
        }
    }
}

#[test]
fn a_picture_is_read_once_for_the_questions_that_follow_each_other() {
    let fixture = fixture("tiny-llava-hf");
    let reads = Arc::new(AtomicUsize::new(0));
    let requests: Vec<Request> = ["wide-rgb.jpg", "wide-rgb.jpg", "grey.jpg", "grey.jpg", "wide-rgb.jpg"]
        .into_iter()
        .enumerate()
        .map(|(n, name)| {
            let (path, reads) = (fixtures().join("pictures").join(name), Arc::clone(&reads));
            let mut request = fixture.request(&fixture.cases.cases[0]);
            request.id = n.to_string();
            request.prompt[0] = PromptPart::Picture(EncodedPicture {
                key: name.into(),
                read: Arc::new(move || {
                    reads.fetch_add(1, Ordering::Relaxed);
                    fs::read(&path).map_err(|error| error.to_string())
                }),
            });
            request
        })
        .collect();
    let mut said = BTreeMap::new();
    let mut adapter = adapter(&fixture);
    adapter
        .answer(&mut requests.into_iter(), &mut |answer| {
            said.insert(answer.id, answer.outcome.unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 3);
    // Read again for the last question, recognised by its content, and not encoded again.
    let work = adapter.report().unwrap().work;
    assert_eq!((work.tower_forwards, work.repeats), (2, 3));
    let repeats: Vec<Option<&str>> = said.values().map(|said| said.repeats.as_deref()).collect();
    assert_eq!(repeats, [None, Some("0"), None, Some("2"), Some("0")]);
    let texts: Vec<String> = said.into_values().map(|said| said.text).collect();
    assert_eq!([&texts[1], &texts[3], &texts[4]], [&texts[0], &texts[2], &texts[0]]);
    assert_ne!(texts[0], texts[2], "the answers must tell the pictures apart");
}

#[test]
fn what_is_wrong_with_a_question_is_said_and_nothing_is_guessed() {
    let fixture = fixture("tiny-llava-hf");
    let mut adapter = adapter(&fixture);
    let case = &fixture.cases.cases[0];
    let mut stray = fixture.request(case);
    stray.prompt[1] = PromptPart::Text("What is <image>?".to_owned());
    let mut broken = fixture.request(case);
    broken.prompt[0] = PromptPart::Picture(EncodedPicture {
        key: "noise.jpg".into(),
        read: Arc::new(|| Ok(vec![7; 40])),
    });
    let mut reasons = Vec::new();
    adapter
        .answer(&mut [stray, broken].into_iter(), &mut |answer| {
            reasons.push(answer.outcome.unwrap_err().to_string());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(
        reasons[0],
        "the question contains `<image>`, which would stand for a picture"
    );
    assert!(reasons[1].starts_with("picture `noise.jpg`: "), "{}", reasons[1]);
    assert_eq!(reasons.len(), 2);
}

#[test]
fn an_adapter_stops_when_it_is_told() {
    let fixture = fixture("tiny-llava-hf");
    let mut adapter = adapter(&fixture);
    let mut pulled = 0;
    let mut requests = fixture.cases.cases.iter().map(|case| {
        pulled += 1;
        fixture.request(case)
    });
    let mut answers = 0;
    adapter
        .answer(&mut requests, &mut |_| {
            answers += 1;
            ControlFlow::Break(())
        })
        .unwrap();
    drop(requests);
    assert_eq!(answers, 1);
    // Requests are pulled ahead of the answers, to have their pictures ready; once told to stop, no more.
    assert!((1..=fixture.cases.cases.len()).contains(&pulled));
}
