//! A tiny checkpoint with what the reference programs made of it, as `tests/oracle/checkpoints.py` writes it
//! (`tests/fixtures/checkpoints/README.md` describes every file).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::SafeTensors;
use serde::Deserialize;

use crate::checkpoint::Checkpoint;
use crate::parity::{ParityError, floats};
use crate::picture::{self, RgbPicture};
use crate::request::{EncodedPicture, GenerationLimits, PromptPart, Request, Script};
use crate::tokenizer::PromptToken;

/// One checkpoint, the pictures that it is asked about, and what is expected.
#[derive(Debug)]
pub struct Fixture {
    /// The checkpoint's folder.
    pub folder: PathBuf,
    /// The questions and what comes of them.
    pub cases: Cases,
    pictures: PathBuf,
    tensors: Vec<u8>,
}

/// `expected/cases.json`.
#[derive(Debug, Deserialize)]
pub struct Cases {
    /// The id that stands for a picture in `prompt_ids`.
    pub picture_token: i64,
    /// Rows that take its place.
    pub picture_rows: usize,
    /// Longest answer.
    pub max_new_tokens: usize,
    /// The questions.
    pub cases: Vec<Case>,
}

/// One question about one picture.
#[derive(Debug, Clone, Deserialize)]
pub struct Case {
    /// Its name.
    pub id: String,
    /// The picture's file name.
    pub picture: String,
    /// The user's text behind the picture.
    pub question: String,
    /// The whole prompt with its one marker.
    pub prompt: String,
    /// Its ids.
    pub prompt_ids: Vec<i64>,
    /// The tokens of the answer, the end token included where it came.
    pub tokens: Vec<u32>,
    /// Why the answer ends: `end-token` or `length`.
    pub finish: String,
    /// The answer.
    pub text: String,
}

impl Case {
    /// The picture's name without its ending, as the expected tensors have it.
    pub fn stem(&self) -> &str {
        stem(&self.picture)
    }
}

impl Fixture {
    /// Reads the checkpoint in `folder`, whose `expected` holds the results, to be asked about files in `pictures`.
    ///
    /// # Errors
    ///
    /// Files that are not there or not what they should be.
    pub fn read(folder: &Path, pictures: &Path) -> Result<Self, ParityError> {
        let cases = folder.join("expected/cases.json");
        let fault = |error| ParityError(format!("`{}`: {error}", cases.display()));
        Ok(Self {
            cases: serde_json::from_slice(&read(&cases)?).map_err(|error: serde_json::Error| fault(error))?,
            tensors: read(&folder.join("expected/expected.safetensors"))?,
            folder: folder.to_owned(),
            pictures: pictures.to_owned(),
        })
    }

    /// The checkpoint, opened.
    ///
    /// # Errors
    ///
    /// Whatever [`Checkpoint::open`] refuses.
    pub fn checkpoint(&self) -> Result<Checkpoint, ParityError> {
        Checkpoint::open(&self.folder).map_err(|error| ParityError::new(&error))
    }

    /// The bytes of an expected tensor; `None` where the fixture has none of that name.
    ///
    /// # Errors
    ///
    /// A file that is no safetensors.
    pub fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, ParityError> {
        let tensors = SafeTensors::deserialize(&self.tensors).map_err(|error| ParityError::new(&error))?;
        Ok(tensors.tensor(name).ok().map(|tensor| tensor.data().to_vec()))
    }

    /// The values of an expected tensor, widened where it has 16 bits.
    ///
    /// # Errors
    ///
    /// A tensor that is not there or holds no floats.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>, ParityError> {
        let tensors = SafeTensors::deserialize(&self.tensors).map_err(|error| ParityError::new(&error))?;
        let tensor = tensors
            .tensor(name)
            .map_err(|error| ParityError(format!("`{name}`: {error}")))?;
        floats(&tensor).ok_or_else(|| ParityError(format!("`{name}` holds no floats")))
    }

    /// File names of the pictures that are asked about, each once.
    pub fn pictures(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.cases.cases.iter().map(|case| case.picture.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// A picture by its file name, decoded.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is no picture.
    pub fn picture(&self, name: &str) -> Result<RgbPicture, ParityError> {
        picture::decode(&read(&self.pictures.join(name))?).map_err(|error| ParityError::new(&error))
    }

    /// The normalised pixels of a picture, by its file name.
    ///
    /// # Errors
    ///
    /// As [`Fixture::picture`], and whatever [`Fixture::checkpoint`] refuses.
    pub fn pixels(&self, name: &str) -> Result<Vec<f32>, ParityError> {
        let preprocess = self.checkpoint()?.preprocess;
        let pixels = preprocess.pixels(&self.picture(name)?);
        Ok(preprocess.normalise(&pixels.map_err(|error| ParityError::new(&error))?))
    }

    /// The expected ids of a prompt.
    pub fn prompt(&self, case: &Case) -> Vec<PromptToken> {
        let token = |id: &i64| match u32::try_from(*id) {
            Ok(id) if i64::from(id) != self.cases.picture_token => PromptToken::Text(id),
            _ => PromptToken::Picture(0),
        };
        case.prompt_ids.iter().map(token).collect()
    }

    /// The question as an adapter gets it.
    pub fn request(&self, case: &Case) -> Request {
        let path = self.pictures.join(&case.picture);
        let picture = EncodedPicture {
            key: case.picture.as_str().into(),
            read: Arc::new(move || fs::read(&path).map_err(|error| error.to_string())),
        };
        Request {
            id: case.id.clone(),
            script: Script::Short,
            prompt: vec![PromptPart::Picture(picture), PromptPart::Text(case.question.clone())],
            limits: self.limits(),
        }
    }

    /// How long an answer may be.
    pub const fn limits(&self) -> GenerationLimits {
        GenerationLimits {
            max_new_tokens: self.cases.max_new_tokens,
        }
    }
}

/// A file name without its ending.
pub fn stem(name: &str) -> &str {
    Path::new(name)
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or(name)
}

fn read(path: &Path) -> Result<Vec<u8>, ParityError> {
    fs::read(path).map_err(|error| ParityError(format!("cannot read `{}`: {error}", path.display())))
}
