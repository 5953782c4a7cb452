//! The questions of one task as a run asks them: data, wording and limits in one place.

use std::collections::HashSet;
use std::sync::Arc;

use benchmarks::{Benchmark, DataSource, Dataset, Picture, PromptStyle, Sample, Task};
use model_adapters::{EncodedPicture, GenerationLimits, PromptPart, Request, Script};

use crate::cli::RunArgs;
use crate::fault::Fault;
use crate::picture_hashes::PictureHashes;
use crate::{script, task};

/// A benchmark's data with the options that decide what is asked.
pub struct Questions {
    task: Task,
    benchmark: &'static dyn Benchmark,
    dataset: Arc<dyn Dataset>,
    style: PromptStyle,
    max_new_tokens: usize,
    picture_hashes: PictureHashes,
}

impl Questions {
    /// Loads the data of `task` and says on stderr what was found, unless told to be quiet.
    pub fn load(args: &RunArgs, task: Task) -> Result<Self, Fault> {
        let benchmark = task::benchmark(task)?;
        let source = DataSource {
            root: args.data.clone(),
            images: args.images.clone(),
            split: args.split.clone(),
            grades: None,
        };
        let dataset = benchmark.load(&source)?;
        dataset.can_ask(args.prompt_style)?;
        if !args.quiet {
            task::say_what_was_found(task, dataset.as_ref());
        }
        Self::about(args, task, dataset.into())
    }

    /// About data that are loaded already.
    pub fn about(args: &RunArgs, task: Task, dataset: Arc<dyn Dataset>) -> Result<Self, Fault> {
        let benchmark = task::benchmark(task)?;
        let max_new_tokens = args
            .max_new_tokens
            .map_or(benchmark.max_new_tokens(), |limit| limit as usize);
        Ok(Self {
            task,
            benchmark,
            dataset,
            style: args.prompt_style,
            max_new_tokens,
            picture_hashes: PictureHashes::default(),
        })
    }

    /// The benchmark's id.
    pub fn task(&self) -> Task {
        self.task
    }

    /// The data.
    pub fn dataset(&self) -> &dyn Dataset {
        self.dataset.as_ref()
    }

    /// The split, as the loader named it.
    pub fn split(&self) -> &str {
        &self.dataset.provenance().split
    }

    /// The reference script that asks these questions.
    pub fn script(&self) -> Script {
        script::of(self.task, self.style)
    }

    /// What its requests have read of pictures so far.
    pub fn picture_hashes(&self) -> &PictureHashes {
        &self.picture_hashes
    }

    /// Tokens that an answer may have.
    pub fn max_new_tokens(&self) -> usize {
        self.max_new_tokens
    }

    /// What is asked about sample `index`, without conversation template and picture marker.
    pub fn prompt(&self, index: usize) -> String {
        self.dataset.prompt(index, self.style)
    }

    /// The request for sample `index`; its pictures are read when the adapter gets to them.
    pub fn request(&self, index: usize) -> Option<Request> {
        let sample = self.sample(index)?;
        let pictures = sample.pictures.iter().cloned().map(|picture| {
            let key: Arc<str> = Arc::from(picture.key());
            let hashes = self.picture_hashes.clone();
            let read = move || hashes.read(&picture);
            PromptPart::Picture(EncodedPicture {
                key,
                read: Arc::new(read),
            })
        });
        Some(Request {
            id: sample.id.to_string(),
            script: self.script(),
            prompt: pictures.chain([PromptPart::Text(self.prompt(index))]).collect(),
            limits: GenerationLimits {
                max_new_tokens: self.max_new_tokens,
            },
        })
    }

    /// Sample `index`.
    pub fn sample(&self, index: usize) -> Option<&Sample> {
        self.dataset.samples().get(index)
    }

    /// How many pictures `indices` need, and how many of these are there.
    pub fn pictures(&self, indices: &[usize]) -> PictureCount {
        let samples = indices.iter().filter_map(|&index| self.sample(index));
        let pictures: Vec<&Picture> = samples.flat_map(|sample| &sample.pictures).collect();
        let distinct = |pictures: &mut dyn Iterator<Item = &&Picture>| {
            pictures.map(|picture| picture.key()).collect::<HashSet<_>>().len()
        };
        PictureCount {
            needed: distinct(&mut pictures.iter()),
            present: distinct(&mut pictures.iter().filter(|picture| picture.is_present())),
        }
    }

    /// Stops a run none of whose pictures is there before it fails them one by one.
    pub fn require_some_picture(&self, indices: &[usize]) -> Result<(), Fault> {
        let count = self.pictures(indices);
        if count.needed == 0 || count.present > 0 {
            return Ok(());
        }
        let folders = &self.dataset.provenance().picture_folders;
        let folders: Vec<String> = folders.iter().map(|folder| format!("`{}`", folder.display())).collect();
        Err(Fault::User(format!(
            "{}: none of the {} pictures is there; looked in {}; {}, or name their folder with --images",
            self.task,
            count.needed,
            folders.join(", "),
            self.benchmark.data_hint()
        )))
    }

    /// What an answer depends on, as far as the question goes: (name, value) pairs.
    pub fn identity(&self) -> Vec<(String, String)> {
        let mut identity = vec![
            ("task".to_owned(), self.task.to_string()),
            ("split".to_owned(), self.split().to_owned()),
            ("prompt-style".to_owned(), self.style.to_string()),
            ("max-new-tokens".to_owned(), self.max_new_tokens.to_string()),
        ];
        for file in &self.dataset.provenance().files {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy();
            identity.push((format!("data/{name}"), file.sha256.clone()));
        }
        identity
    }
}

/// Pictures of a set of questions, each counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureCount {
    /// Asked about.
    pub needed: usize,
    /// Found when the data were loaded.
    pub present: usize,
}
