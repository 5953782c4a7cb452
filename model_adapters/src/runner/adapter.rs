//! A checkpoint that answers requests: file to pixels, message to tokens, tokens to text.

use std::ops::ControlFlow;
use std::sync::Arc;

use tch::Tensor;

use crate::checkpoint::Checkpoint;
use crate::picture::{self, Geometry, Preprocess};
use crate::request::{Adapter, AdapterError, Answer, EncodedPicture, Generated, PromptPart, Request, SampleFailure};
use crate::runner::device::Device;
use crate::runner::error::{AnswerError, DeviceError, LoadError};
use crate::runner::loading::{Keep, Loading, free_memory};
use crate::runner::model::VilaModel;
use crate::runner::torch::{self, DtypeChoice};
use crate::template::{self, ConvTemplate};
use crate::tokenizer::{PromptToken, Tokenizer};

/// What the user may choose about a run of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunnerSettings {
    /// Where to compute.
    pub device: Device,
    /// What to compute in.
    pub dtype: DtypeChoice,
    /// The conversation template; `None` chooses by folder name and layout.
    pub template: Option<ConvTemplate>,
    /// How weight matrices are kept; `None` decides by dtype and free memory. No answer depends on it.
    pub keep: Option<Keep>,
    /// Threads of one libtorch operation; `None` leaves libtorch's choice.
    pub threads: Option<usize>,
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
        vec![
            ("dtype", self.dtype.resolve(self.device).id().to_owned()),
            ("conv-template", self.template_for(checkpoint).name().to_owned()),
            ("geometry", geometry.to_owned()),
        ]
    }

    /// How `checkpoint` is brought into memory, which may depend on what is free now.
    pub fn loading(&self, checkpoint: &Checkpoint) -> Loading {
        let loading = Loading::choose(self.dtype, self.device, checkpoint, free_memory());
        Loading {
            keep: self.keep.unwrap_or(loading.keep),
            ..loading
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
    preprocess: Preprocess,
    image_token: Option<u32>,
    image_start_end: bool,
    /// The pictures of the last request, encoded: requests about one picture stand side by side.
    encoded: Vec<(Arc<str>, Tensor)>,
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
        Ok(Self {
            model: VilaModel::load(checkpoint, rows, settings.loading(checkpoint))?,
            tokenizer,
            template: settings.template_for(checkpoint),
            preprocess: checkpoint.preprocess.clone(),
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

    /// The tower's input, `[3, side, side]`, of a decoded picture.
    ///
    /// # Errors
    ///
    /// [`picture::PictureFault`] where it is too small or too long.
    pub fn pixels_of(&self, decoded: &picture::RgbPicture) -> Result<Vec<f32>, picture::PictureFault> {
        Ok(self.preprocess.normalise(&self.preprocess.pixels(decoded)?))
    }

    fn answer_one(&mut self, request: &Request) -> Result<Generated, AnswerError> {
        let tokens = self.prompt_tokens(request)?;
        let pictures = self.encode(&Message::unchecked(request).pictures)?;
        let generation = self.model.generate(&tokens, &pictures, request.limits)?;
        let text = self
            .tokenizer
            .decode(&generation.ids)
            .map_err(|error| AnswerError::Sample(error.to_string()))?;
        Ok(Generated {
            text,
            prompt_tokens: generation.prompt_tokens,
            new_tokens: generation.ids.len(),
            finish: generation.finish,
            truncated: generation.truncated,
        })
    }

    /// The rows of each picture, taken from the last request where it showed the same file.
    fn encode(&mut self, pictures: &[&EncodedPicture]) -> Result<Vec<Tensor>, AnswerError> {
        let mut encoded: Vec<(Arc<str>, Tensor)> = Vec::with_capacity(pictures.len());
        for picture in pictures {
            let known = encoded.iter().chain(&self.encoded).find(|(key, _)| *key == picture.key);
            let rows = match known {
                Some((_, rows)) => rows.shallow_clone(),
                None => self.model.encode_picture(&self.pixels(picture)?)?,
            };
            encoded.push((Arc::clone(&picture.key), rows));
        }
        self.encoded = encoded;
        Ok(self.encoded.iter().map(|(_, rows)| rows.shallow_clone()).collect())
    }

    fn pixels(&self, picture: &EncodedPicture) -> Result<Vec<f32>, AnswerError> {
        let bytes = (picture.read)().map_err(AnswerError::Sample)?;
        let pixels = picture::decode(&bytes).and_then(|decoded| self.pixels_of(&decoded));
        pixels.map_err(|fault| AnswerError::Sample(format!("picture `{}`: {fault}", picture.key)))
    }
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
