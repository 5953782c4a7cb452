//! An adapter that answers from a table: drives the whole command without a model.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::request::{Adapter, AdapterError, Answer, FinishReason, Generated, Request, SampleFailure};

/// Answers by request id; a request without an entry fails.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    answers: HashMap<String, Result<String, String>>,
}

impl Replay {
    /// Takes the outcome of each request id: the answer, or the reason why there is none.
    pub fn new(answers: HashMap<String, Result<String, String>>) -> Self {
        Self { answers }
    }
}

impl Adapter for Replay {
    fn answer(
        &mut self,
        requests: &mut dyn Iterator<Item = Request>,
        sink: &mut dyn FnMut(Answer) -> ControlFlow<()>,
    ) -> Result<(), AdapterError> {
        for request in requests {
            let outcome = match self.answers.get(&request.id) {
                Some(Ok(text)) => Ok(Generated {
                    text: text.clone(),
                    prompt_tokens: 0,
                    new_tokens: 0,
                    ids: Vec::new(),
                    finish: FinishReason::Replayed,
                    truncated: false,
                    repeats: None,
                }),
                Some(Err(reason)) => Err(SampleFailure(reason.clone())),
                None => Err(SampleFailure("the prediction file has no answer to it".to_owned())),
            };
            if sink(Answer {
                id: request.id,
                outcome,
            })
            .is_break()
            {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{GenerationLimits, PromptPart, Script};

    fn request(id: &str) -> Request {
        Request {
            id: id.to_owned(),
            script: Script::Short,
            prompt: vec![PromptPart::Text("Is it?".to_owned())],
            limits: GenerationLimits { max_new_tokens: 1 },
        }
    }

    #[test]
    fn answers_what_it_knows_fails_what_it_does_not_and_stops_when_told() {
        let mut replay = Replay::new(HashMap::from([("a".to_owned(), Ok("Yes".to_owned()))]));
        let mut seen = Vec::new();
        replay
            .answer(&mut ["a", "b", "c"].map(request).into_iter(), &mut |answer| {
                seen.push((
                    answer.id,
                    answer.outcome.map(|said| said.text).map_err(|failure| failure.0),
                ));
                if seen.len() == 2 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .unwrap();
        assert_eq!(
            seen,
            [
                ("a".to_owned(), Ok("Yes".to_owned())),
                (
                    "b".to_owned(),
                    Err("the prediction file has no answer to it".to_owned())
                ),
            ]
        );
    }
}
