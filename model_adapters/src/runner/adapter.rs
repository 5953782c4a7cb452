//! A checkpoint that answers requests: file to pixels, message to tokens, tokens to text.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::checkpoint::Checkpoint;
use crate::picture::{Geometry, Preprocess};
use crate::request::{Adapter, AdapterError, Answer, EncodedPicture, Generated, PromptPart, Request, SampleFailure};
use crate::runner::asking::Asking;
use crate::runner::batch::Batching;
use crate::runner::batch::engine::Engine;
use crate::runner::batch::exactness::{Exactness, Spread};
use crate::runner::batch::queue::Room;
use crate::runner::device::Device;
use crate::runner::error::{AnswerError, DeviceError, LoadError};
use crate::runner::generate::Generation;
use crate::runner::model::VilaModel;
use crate::runner::torch::{self, DtypeChoice, Placement};
use crate::template::{self, ConvTemplate};
use crate::tokenizer::{PromptToken, Tokenizer};
use crate::work::{Report, Span};

/// What the user may choose about a run of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunnerSettings {
    /// Where to compute.
    pub device: Device,
    /// What to compute in.
    pub dtype: DtypeChoice,
    /// The conversation template; `None` chooses by folder name and layout.
    pub template: Option<ConvTemplate>,
    /// Threads of one libtorch operation; `None` leaves libtorch's choice.
    pub threads: Option<usize>,
    /// How questions are batched.
    pub batching: Batching,
}

impl RunnerSettings {
    /// What an answer of `checkpoint` depends on besides its files and the prompt, as (name, value) pairs. Another
    /// value is another run; the device is not among them.
    pub fn identity(&self, checkpoint: &Checkpoint) -> Vec<(&'static str, String)> {
        let geometry = match checkpoint.preprocess.geometry {
            Geometry::Pad => "pad",
            Geometry::Stretch => "resize",
            Geometry::Processor => "processor",
        };
        let mut identity = vec![
            ("dtype", self.placement().dtype.id().to_owned()),
            ("conv-template", self.template_for(checkpoint).name().to_owned()),
            ("geometry", geometry.to_owned()),
        ];
        if self.batching.exactness == Exactness::Fast {
            identity.push(("exactness", "fast".to_owned()));
        }
        if self.batching.ignore_end_tokens {
            identity.push(("end-tokens", "ignored".to_owned()));
        }
        identity
    }

    fn placement(&self) -> Placement {
        Placement {
            device: self.device,
            dtype: self.dtype.resolve(self.device),
        }
    }

    fn template_for(&self, checkpoint: &Checkpoint) -> ConvTemplate {
        self.template.unwrap_or_else(|| checkpoint.conv_template())
    }
}

/// A VILA or LLaVA-1.5 checkpoint, ready to answer.
#[derive(Debug)]
pub struct VilaAdapter {
    model: VilaModel,
    language: Language,
    preprocess: Arc<Preprocess>,
    batching: Batching,
    spread: Spread,
    stop: Arc<AtomicBool>,
    report: Report,
    spans: Vec<Span>,
}

/// Between requests and tokens.
#[derive(Debug)]
pub struct Language {
    tokenizer: Tokenizer,
    template: ConvTemplate,
    image_token: Option<u32>,
    image_start_end: bool,
}

impl VilaAdapter {
    /// Loads the model of `checkpoint`. Call it before any other tensor is made: a CUDA device needs its library
    /// loaded first.
    ///
    /// # Errors
    ///
    /// [`AdapterError::User`] where the device cannot be had, the tokenizer cannot be read or does not fit the
    /// embedding, or a tensor cannot be used.
    pub fn open(checkpoint: &Checkpoint, settings: RunnerSettings) -> Result<Self, AdapterError> {
        settings.device.prepare()?;
        if let Some(threads) = settings.threads {
            torch::set_threads(threads)?;
        }
        let tokenizer = checkpoint
            .open_tokenizer()
            .map_err(|error| AdapterError::User(error.to_string()))?;
        let rows = checkpoint.vocabulary_rows(&tokenizer).map_err(LoadError::from)?;
        let mut model = VilaModel::load(checkpoint, rows, settings.placement())?;
        if settings.batching.ignore_end_tokens {
            model.ignore_end_tokens();
        }
        Ok(Self {
            model,
            language: Language {
                tokenizer,
                template: settings.template_for(checkpoint),
                image_token: checkpoint.image_token,
                image_start_end: checkpoint.image_start_end,
            },
            preprocess: Arc::new(checkpoint.preprocess.clone()),
            batching: settings.batching,
            spread: Spread::default(),
            stop: Arc::default(),
            report: Report::default(),
            spans: Vec::new(),
        })
    }

    /// The model, to be run step by step.
    pub const fn model(&mut self) -> &mut VilaModel {
        &mut self.model
    }

    /// The tokenizer of the checkpoint.
    pub const fn tokenizer(&self) -> &Tokenizer {
        &self.language.tokenizer
    }

    /// How far batches move logits, as measured so far.
    pub const fn spread(&self) -> Spread {
        self.spread
    }

    /// Goes on from what an earlier run with the same model, device, dtype and threads measured.
    pub const fn remember(&mut self, spread: Spread) {
        self.spread = spread;
    }

    /// Once this is set, no question in flight is finished.
    pub fn stop_when(&mut self, stop: Arc<AtomicBool>) {
        self.stop = stop;
    }

    /// The text that `request` becomes before it is tokenised, picture markers included.
    pub fn rendered_prompt(&self, request: &Request) -> String {
        self.language.rendered_prompt(request)
    }

    /// The tokens that `request` becomes before splicing.
    ///
    /// # Errors
    ///
    /// [`AnswerError::Sample`] where the question contains a picture marker of its own, has a picture behind text or
    /// cannot be tokenised.
    pub fn prompt_tokens(&self, request: &Request) -> Result<Vec<PromptToken>, AnswerError> {
        self.language.prompt_tokens(request)
    }
}

impl Language {
    /// The text that `request` becomes before it is tokenised, picture markers included.
    fn rendered_prompt(&self, request: &Request) -> String {
        self.template
            .render(&Message::unchecked(request).render(self.image_start_end))
    }

    /// The tokens that `request` becomes before splicing; [`AnswerError::Sample`] where it has none.
    pub fn prompt_tokens(&self, request: &Request) -> Result<Vec<PromptToken>, AnswerError> {
        let message = Message::of(request)?.render(self.image_start_end);
        self.tokenizer
            .encode_prompt(&self.template.render(&message), self.image_token)
            .map_err(|error| AnswerError::Sample(error.to_string()))
    }

    /// What generated ids say.
    pub fn answer(&self, generation: &Generation) -> Result<Generated, SampleFailure> {
        let text = self.tokenizer.decode(&generation.ids);
        Ok(Generated {
            text: text.map_err(|error| SampleFailure(error.to_string()))?,
            prompt_tokens: generation.prompt_tokens,
            new_tokens: generation.ids.len(),
            finish: generation.finish,
            truncated: generation.truncated,
            repeats: None,
        })
    }
}

impl Adapter for VilaAdapter {
    fn answer(
        &mut self,
        requests: &mut dyn Iterator<Item = Request>,
        sink: &mut dyn FnMut(Answer) -> ControlFlow<()>,
    ) -> Result<(), AdapterError> {
        let batching = self.batching;
        let room = Room::choose(batching.rows, self.model.placement().device);
        // What `--fast` reports is measured in every run.
        let mut spread = match batching.exactness {
            Exactness::Exact => self.spread,
            Exactness::Fast | Exactness::Reference => Spread::default(),
        };
        let mut engine = Engine::new(&mut self.model, room, batching.exactness, &mut spread);
        engine.clock.keeps = batching.trace;
        let mut asking = Asking::new(engine, &self.language, &self.preprocess, batching.dedupe, &self.stop);
        let outcome = asking.run(requests, sink);
        self.report = asking.report();
        self.spans = asking.into_spans();
        if batching.exactness == Exactness::Exact {
            self.spread = spread;
        }
        outcome.map_err(AdapterError::from)
    }

    fn report(&self) -> Option<Report> {
        Some(self.report)
    }

    fn spans(&self) -> &[Span] {
        &self.spans
    }
}

/// A user's message as every evaluation script words it: the pictures, then the text.
pub struct Message<'a> {
    /// In their order.
    pub pictures: Vec<&'a EncodedPicture>,
    text: String,
}

impl<'a> Message<'a> {
    /// Refuses what would not reach the model as the benchmark meant it.
    fn of(request: &'a Request) -> Result<Self, AnswerError> {
        let first_text = request
            .prompt
            .iter()
            .position(|part| matches!(part, PromptPart::Text(_)));
        let last_picture = request
            .prompt
            .iter()
            .rposition(|part| matches!(part, PromptPart::Picture(_)));
        if let (Some(text), Some(picture)) = (first_text, last_picture)
            && text < picture
        {
            return Err(AnswerError::Sample(
                "a picture stands behind text, but these models were trained with pictures first".to_owned(),
            ));
        }
        let message = Self::unchecked(request);
        if message.text.contains(template::PICTURE) {
            return Err(AnswerError::Sample(format!(
                "the question contains `{}`, which would stand for a picture",
                template::PICTURE
            )));
        }
        Ok(message)
    }

    /// As it stands.
    pub fn unchecked(request: &'a Request) -> Self {
        let mut pictures = Vec::new();
        let mut text = String::new();
        for part in &request.prompt {
            match part {
                PromptPart::Picture(picture) => pictures.push(picture),
                PromptPart::Text(words) => text.push_str(words),
            }
        }
        Self { pictures, text }
    }

    fn render(&self, image_start_end: bool) -> String {
        template::picture_message(self.pictures.len(), &self.text, image_start_end)
    }
}

impl From<DeviceError> for AdapterError {
    fn from(error: DeviceError) -> Self {
        Self::User(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::GenerationLimits;

    fn picture() -> PromptPart {
        PromptPart::Picture(EncodedPicture {
            key: "a.jpg".into(),
            read: Arc::new(|| Err("gone".to_owned())),
        })
    }

    fn text(words: &str) -> PromptPart {
        PromptPart::Text(words.to_owned())
    }

    fn check(prompt: Vec<PromptPart>) -> Result<(usize, String), String> {
        let request = Request {
            id: "1".to_owned(),
            prompt,
            limits: GenerationLimits { max_new_tokens: 1 },
        };
        Message::of(&request)
            .map(|message| (message.pictures.len(), message.text))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_message_is_pictures_then_text() {
        assert_eq!(
            check(vec![picture(), text("Is"), text(" it?")]),
            Ok((1, "Is it?".to_owned()))
        );
        assert_eq!(check(vec![text("Is it?")]), Ok((0, "Is it?".to_owned())));
        assert_eq!(check(vec![picture(), picture(), text("?")]), Ok((2, "?".to_owned())));
        assert_eq!(
            check(vec![text("Is it?"), picture()]).unwrap_err(),
            "a picture stands behind text, but these models were trained with pictures first"
        );
        for parts in [
            vec![text("what is <image>?")],
            vec![picture(), text("<im"), text("age>")],
        ] {
            assert_eq!(
                check(parts).unwrap_err(),
                "the question contains `<image>`, which would stand for a picture"
            );
        }
    }
}
