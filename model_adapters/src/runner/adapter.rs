//! A checkpoint that answers requests: file to pixels, message to tokens, tokens to text.

use std::ops::ControlFlow;
use std::sync::Arc;

use tch::Tensor;

use crate::checkpoint::Checkpoint;
use crate::picture::{self, Geometry, Preprocess};
use crate::profile::Profile;
use crate::request::{
    Adapter, AdapterError, Answer, EncodedPicture, Generated, PromptPart, Request, SampleFailure, Script,
};
use crate::runner::device::Device;
use crate::runner::error::{AnswerError, DeviceError, LoadError};
use crate::runner::model::VilaModel;
use crate::runner::torch::{self, DtypeChoice, Placement};
use crate::runner::wording::Wording;
use crate::stop::StopRule;
use crate::template::{self, ConvTemplate};
use crate::tokenizer::{PromptToken, Tokenizer};

/// What the user may choose about a run of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunnerSettings {
    /// Where to compute.
    pub device: Device,
    /// What to compute in.
    pub dtype: DtypeChoice,
    /// The reference program that is followed; `None` chooses by folder name and layout.
    pub profile: Option<Profile>,
    /// The conversation template; `None` chooses by folder name and layout.
    pub template: Option<ConvTemplate>,
    /// What happens to a picture before the processor; `None` leaves it to the checkpoint and the profile.
    pub geometry: Option<Geometry>,
    /// Where answers end.
    pub stop: StopRule,
    /// Threads of one libtorch operation; `None` leaves libtorch's choice.
    pub threads: Option<usize>,
}

impl RunnerSettings {
    /// What an answer of `checkpoint` to questions of `script` depends on besides its files and the prompt, as (name,
    /// value) pairs. Another value is another run; the device is not among them.
    pub fn identity(&self, checkpoint: &Checkpoint, script: Script) -> Vec<(&'static str, String)> {
        let profile = self.profile_for(checkpoint);
        vec![
            ("dtype", self.placement().dtype.id().to_owned()),
            ("profile", profile.name().to_owned()),
            ("conv-template", self.template_for(checkpoint).name().to_owned()),
            (
                "image-aspect-ratio",
                self.geometry_for(checkpoint, script).name().to_owned(),
            ),
            ("stop", self.stop.ending(profile, script).id().to_owned()),
        ]
    }

    /// The text that `request` becomes before it is tokenised, picture markers included.
    pub fn rendered_prompt(&self, checkpoint: &Checkpoint, request: &Request) -> String {
        let message = Message::unchecked(request).render(checkpoint.image_start_end);
        self.template_for(checkpoint).render(&message)
    }

    /// Whether the settings fit `checkpoint`.
    ///
    /// # Errors
    ///
    /// [`AdapterError::User`] where the geometry asked for makes pictures that the vision tower does not take.
    pub fn check(&self, checkpoint: &Checkpoint) -> Result<(), AdapterError> {
        let Some(geometry) = self.geometry else { return Ok(()) };
        let asked = Preprocess {
            geometry,
            ..checkpoint.preprocess.clone()
        };
        if asked.output_size() == checkpoint.preprocess.output_size() {
            return Ok(());
        }
        Err(AdapterError::User(format!(
            "`--image-aspect-ratio {geometry}`: the picture processor of `{}` then makes pictures of no fixed size, which \
             the vision tower cannot take; leave it at `auto`",
            checkpoint.folder.display()
        )))
    }

    fn profile_for(&self, checkpoint: &Checkpoint) -> Profile {
        self.profile.unwrap_or_else(|| checkpoint.profile())
    }

    fn geometry_for(&self, checkpoint: &Checkpoint, script: Script) -> Geometry {
        let configured = checkpoint.preprocess.geometry;
        self.geometry
            .unwrap_or_else(|| self.profile_for(checkpoint).geometry(script, configured))
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
    tokenizer: Tokenizer,
    template: ConvTemplate,
    profile: Profile,
    stop: StopRule,
    preprocess: Preprocess,
    /// Wins over the checkpoint's and the profile's.
    geometry: Option<Geometry>,
    image_token: Option<u32>,
    image_start_end: bool,
    /// The pictures of the last request, encoded: requests about one picture stand side by side.
    encoded: Vec<(PictureKey, Tensor)>,
}

/// A picture and what happened to it before the processor: two scripts may see one file differently.
type PictureKey = (Arc<str>, Geometry);

impl VilaAdapter {
    /// Loads the model of `checkpoint`. Call it before any other tensor is made: a CUDA device needs its library
    /// loaded first.
    ///
    /// # Errors
    ///
    /// [`AdapterError::User`] where the device cannot be had, the tokenizer cannot be read or does not fit the
    /// embedding, or a tensor cannot be used.
    pub fn open(checkpoint: &Checkpoint, settings: RunnerSettings) -> Result<Self, AdapterError> {
        settings.check(checkpoint)?;
        settings.device.prepare()?;
        if let Some(threads) = settings.threads {
            torch::set_threads(threads)?;
        }
        let profile = settings.profile_for(checkpoint);
        let tokenizer = checkpoint
            .open_tokenizer(profile)
            .map_err(|error| AdapterError::User(error.to_string()))?;
        let rows = checkpoint.vocabulary_rows(&tokenizer).map_err(LoadError::from)?;
        Ok(Self {
            model: VilaModel::load(checkpoint, rows, settings.placement())?,
            tokenizer,
            template: settings.template_for(checkpoint),
            profile,
            stop: settings.stop,
            preprocess: checkpoint.preprocess.clone(),
            geometry: settings.geometry,
            image_token: checkpoint.image_token,
            image_start_end: checkpoint.image_start_end,
            encoded: Vec::new(),
        })
    }

    /// The model, to be run step by step.
    pub const fn model(&mut self) -> &mut VilaModel {
        &mut self.model
    }

    /// The tokenizer of the checkpoint.
    pub const fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The text that `request` becomes before it is tokenised, picture markers included.
    pub fn rendered_prompt(&self, request: &Request) -> String {
        self.template
            .render(&Message::unchecked(request).render(self.image_start_end))
    }

    /// The tokens that `request` becomes before splicing.
    ///
    /// # Errors
    ///
    /// [`AnswerError::Sample`] where the question contains a picture marker of its own, has a picture behind text or
    /// cannot be tokenised.
    pub fn prompt_tokens(&self, request: &Request) -> Result<Vec<PromptToken>, AnswerError> {
        let message = Message::of(request)?.render(self.image_start_end);
        self.tokenizer
            .encode_prompt(&self.template.render(&message), self.image_token)
            .map_err(|error| AnswerError::Sample(error.to_string()))
    }

    fn answer_one(&mut self, request: &Request) -> Result<Generated, AnswerError> {
        let tokens = self.prompt_tokens(request)?;
        let pictures = self.encode(&Message::unchecked(request).pictures, request.script)?;
        let generation = self.model.generate(&tokens, &pictures, request.limits)?;
        self.wording(request.script)
            .of(&tokens, generation)
            .map_err(|error| AnswerError::Sample(error.to_string()))
    }

    /// How the generated ids of an answer to `script` become its text.
    fn wording(&self, script: Script) -> Wording<'_> {
        Wording {
            tokenizer: &self.tokenizer,
            stop_string: self.template.stop_string(),
            ending: self.stop.ending(self.profile, script),
            input: self.profile.generate_input(),
        }
    }

    /// The rows of each picture, taken from the last request where it showed the same file in the same way.
    fn encode(&mut self, pictures: &[&EncodedPicture], script: Script) -> Result<Vec<Tensor>, AnswerError> {
        let preprocess = self.preprocess_for(script);
        let mut encoded: Vec<(PictureKey, Tensor)> = Vec::with_capacity(pictures.len());
        for picture in pictures {
            let key = (Arc::clone(&picture.key), preprocess.geometry);
            let known = encoded.iter().chain(&self.encoded).find(|(known, _)| *known == key);
            let rows = match known {
                Some((_, rows)) => rows.shallow_clone(),
                None => self.model.encode_picture(&pixels(picture, &preprocess)?)?,
            };
            encoded.push((key, rows));
        }
        self.encoded = encoded;
        Ok(self.encoded.iter().map(|(_, rows)| rows.shallow_clone()).collect())
    }

    /// From file to pixels, as `script` does it.
    fn preprocess_for(&self, script: Script) -> Preprocess {
        let configured = self.preprocess.geometry;
        Preprocess {
            geometry: self
                .geometry
                .unwrap_or_else(|| self.profile.geometry(script, configured)),
            ..self.preprocess.clone()
        }
    }
}

fn pixels(picture: &EncodedPicture, preprocess: &Preprocess) -> Result<Vec<f32>, AnswerError> {
    let bytes = (picture.read)().map_err(AnswerError::Sample)?;
    let pixels = picture::decode(&bytes).and_then(|decoded| preprocess.pixels(&decoded));
    let pixels = pixels.map_err(|fault| AnswerError::Sample(format!("picture `{}`: {fault}", picture.key)))?;
    Ok(preprocess.normalise(&pixels))
}

impl Adapter for VilaAdapter {
    fn answer(
        &mut self,
        requests: &mut dyn Iterator<Item = Request>,
        sink: &mut dyn FnMut(Answer) -> ControlFlow<()>,
    ) -> Result<(), AdapterError> {
        for request in requests {
            let outcome = match self.answer_one(&request) {
                Ok(generated) => Ok(generated),
                Err(AnswerError::Sample(reason)) => Err(SampleFailure(reason)),
                Err(AnswerError::Torch(error)) => return Err(AdapterError::Torch(error.0)),
            };
            let answer = Answer {
                id: request.id,
                outcome,
            };
            if sink(answer).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// A user's message as every evaluation script words it: the pictures, then the text.
struct Message<'a> {
    pictures: Vec<&'a EncodedPicture>,
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

    fn unchecked(request: &'a Request) -> Self {
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
