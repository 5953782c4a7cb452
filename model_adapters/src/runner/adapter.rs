//! A checkpoint that answers requests: file to pixels, message to tokens, tokens to text.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::checkpoint::Checkpoint;
use crate::picture::{self, Geometry, JpegDecoder, Preprocess};
use crate::profile::Profile;
use crate::request::{
    Adapter, AdapterError, Answer, EncodedPicture, Generated, PromptPart, Request, SampleFailure, Script,
};
use crate::runner::asking::Asking;
use crate::runner::batch::engine::Engine;
use crate::runner::batch::exactness::{Exactness, Spread};
use crate::runner::batch::queue::Room;
use crate::runner::batch::size::BatchSize;
use crate::runner::batch::{Batching, Learned};
use crate::runner::error::{AnswerError, DeviceError, LoadError};
use crate::runner::generate::Generation;
use crate::runner::memory;
use crate::runner::model::VilaModel;
use crate::runner::pass::Hashing;
use crate::runner::settings::RunnerSettings;
use crate::runner::torch;
use crate::runner::wording::Wording;
use crate::stop::StopRule;
use crate::template::{self, ConvTemplate};
use crate::tokenizer::{PromptToken, Tokenizer};
use crate::work::{Report, Span};

/// A VILA or LLaVA-1.5 checkpoint, ready to answer.
#[derive(Debug)]
pub struct VilaAdapter {
    model: VilaModel,
    language: Language,
    sight: Sight,
    batching: Batching,
    learned: Learned,
    stop: Arc<AtomicBool>,
    report: Report,
    spans: Vec<Span>,
}

/// Between requests and tokens.
#[derive(Debug)]
pub struct Language {
    tokenizer: Tokenizer,
    template: ConvTemplate,
    profile: Profile,
    stop: StopRule,
    image_token: Option<u32>,
    image_start_end: bool,
}

/// From file to pixels: two scripts may see one picture differently.
#[derive(Debug)]
pub struct Sight {
    configured: Preprocess,
    profile: Profile,
    /// Wins over the checkpoint's and the profile's.
    geometry: Option<Geometry>,
    /// Of JPEG files.
    pub decoder: JpegDecoder,
}

impl Sight {
    /// As `script` does it.
    pub fn of(&self, script: Script) -> Arc<Preprocess> {
        let of_profile = self.profile.geometry(script, self.configured.geometry);
        Arc::new(Preprocess {
            geometry: self.geometry.unwrap_or(of_profile),
            ..self.configured.clone()
        })
    }
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
        Self::open_hashing(checkpoint, settings, &mut Hashing::default())
    }

    /// The same; hashes the weight files that `hashing` wants in the pass that reads them.
    ///
    /// # Errors
    ///
    /// As [`VilaAdapter::open`].
    pub fn open_hashing(
        checkpoint: &Checkpoint,
        settings: RunnerSettings,
        hashing: &mut Hashing,
    ) -> Result<Self, AdapterError> {
        settings.check(checkpoint)?;
        settings.device.prepare()?;
        torch::settle_threads(settings.threads)?;
        let profile = settings.profile_for(checkpoint);
        let tokenizer = checkpoint
            .open_tokenizer(profile)
            .map_err(|error| AdapterError::User(error.to_string()))?;
        let rows = checkpoint.vocabulary_rows(&tokenizer).map_err(LoadError::from)?;
        let mut model = VilaModel::load(checkpoint, rows, settings.loading(checkpoint), hashing)?;
        memory::keep_freed_memory();
        if settings.batching.ignore_end_tokens {
            model.ignore_end_tokens();
        }
        Ok(Self {
            model,
            language: Language {
                tokenizer,
                template: settings.template_for(checkpoint),
                profile,
                stop: settings.stop,
                image_token: checkpoint.image_token,
                image_start_end: checkpoint.image_start_end,
            },
            sight: Sight {
                configured: checkpoint.preprocess.clone(),
                profile,
                geometry: settings.geometry,
                decoder: settings.jpeg_decoder,
            },
            batching: settings.batching,
            learned: Learned::default(),
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

    /// What was learned about batches so far.
    pub const fn learned(&self) -> Learned {
        self.learned
    }

    /// Goes on from what an earlier run with the same model, device, dtype and threads learned.
    pub const fn remember(&mut self, learned: Learned) {
        self.learned = learned;
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

    /// The tower's input, `[3, side, side]`, of a decoded picture, as the script of short answers has it.
    ///
    /// # Errors
    ///
    /// [`picture::PictureFault`] where it is too small or too long.
    pub fn pixels_of(&self, decoded: &picture::RgbPicture) -> Result<Vec<f32>, picture::PictureFault> {
        let preprocess = self.sight.of(Script::Short);
        Ok(preprocess.normalise(&preprocess.pixels(decoded)?))
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

    /// What the ids generated in answer to `prompt`, a question of `script`, say.
    pub fn answer(
        &self,
        script: Script,
        prompt: &[PromptToken],
        generation: Generation,
    ) -> Result<Generated, SampleFailure> {
        let wording = Wording {
            tokenizer: &self.tokenizer,
            stop_string: self.template.stop_string(),
            ending: self.stop.ending(self.profile, script),
            input: self.profile.generate_input(),
        };
        let said = wording.of(prompt, generation);
        said.map_err(|error| SampleFailure(error.to_string()))
    }
}

impl Adapter for VilaAdapter {
    fn answer(
        &mut self,
        requests: &mut dyn Iterator<Item = Request>,
        sink: &mut dyn FnMut(Answer) -> ControlFlow<()>,
    ) -> Result<(), AdapterError> {
        let batching = self.batching;
        let room = Room::choose(batching.rows.or(self.learned.rows), self.model.placement().device);
        // What `--fast` reports is measured in every run.
        let mut spread = match batching.exactness {
            Exactness::Exact => self.learned.spread,
            Exactness::Fast | Exactness::Reference => Spread::default(),
        };
        let mut engine = Engine::new(&mut self.model, room, batching.exactness, &mut spread);
        engine.clock.keeps = batching.trace;
        let learns = batching.rows.is_none();
        engine.size = BatchSize::new(room.rows, !learns || self.learned.rows.is_some());
        let mut asking = Asking::new(engine, &self.language, &self.sight, batching.dedupe, &self.stop);
        let outcome = asking.run(requests, sink);
        self.report = asking.report();
        let (spans, size) = asking.into_parts();
        self.spans = spans;
        if batching.exactness == Exactness::Exact {
            self.learned.spread = spread;
        }
        if learns {
            self.learned.rows = size.learned();
        }
        outcome.map_err(AdapterError::from)
    }

    fn report(&self) -> Option<Report> {
        // Measured here, behind the last answer: no part of the time that answering took.
        let measured = self.batching.trace.then(|| {
            let rates = self.model.llama().rates(&self.report.work, &self.report.spent);
            rates.ok().flatten()
        });
        Some(Report {
            rates: measured.flatten(),
            ..self.report
        })
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

    pub(super) fn render(&self, image_start_end: bool) -> String {
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
            script: Script::Short,
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
