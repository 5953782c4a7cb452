//! A training in its folder: begun, gone on with, and stopped so that going on changes nothing.
//!
//! The folder holds `training.json` ([`Settings`]), `tokenizer.json`, the picture cache, `state.safetensors`
//! ([`crate::state`]) and `loss.csv`, a row a step.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use model_adapters::tokenizer::Tokenizer;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use tch::Tensor;

use crate::batch::patches;
use crate::model::Model;
use crate::optimiser::{Moments, Optimiser};
use crate::parameters::Part;
use crate::passes::Passes;
use crate::pictures::Pictures;
use crate::plan::Plan;
use crate::records::{self, Record, Source};
use crate::sampler::{Sampler, Samples};
use crate::sequences::Wording;
use crate::sizes::{Shape, Sizes};
use crate::state::{self, Progress};
use crate::{export, vocabulary};

/// The header of `loss.csv`. `foreseen` is the share of answers of which every token was the likeliest.
const LOG_HEADER: &str = "step,stage,loss,foreseen,rate,gradient,tokens,seconds\n";

/// Pictures that the tower's first layer is fitted to.
const WHITENED: usize = 3000;

/// What decides a training, with its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Whose shape the model has.
    pub shape: Shape,
    /// The folder of the training data.
    pub data: PathBuf,
    /// Of the weights, of the order of samples, of the choice of questions.
    pub seed: u64,
    /// Tokens of the vocabulary at most.
    pub vocabulary: usize,
    /// Positions of a sequence at most, where its first question fits.
    pub room: usize,
    /// Sequences of one pass; a step's gradient is the sum of its passes'.
    pub pass: usize,
    /// The optimiser.
    pub optimiser: Optimiser,
    /// What was not drawn but taken over; the vocabulary comes from the first.
    #[serde(deserialize_with = "one_or_more")]
    pub borrowed: Vec<Borrowed>,
    /// The stages.
    pub plan: Plan,
}

/// Weights that another training has made, and its vocabulary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Borrowed {
    /// Its folder.
    pub from: PathBuf,
    /// Which of its modules.
    pub parts: Vec<Part>,
}

impl FromStr for Borrowed {
    type Err = String;

    /// `FOLDER:PART,PART`
    fn from_str(text: &str) -> Result<Self, String> {
        let (from, parts) = text.rsplit_once(':').ok_or("wanted: FOLDER:PART,PART")?;
        let parts = parts.split(',').map(|part| Part::from_str(part, false));
        Ok(Self {
            from: PathBuf::from(from),
            parts: parts.collect::<Result<_, _>>()?,
        })
    }
}

/// A list; the first trainings could borrow once and wrote that, or null.
fn one_or_more<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<Borrowed>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Many(Vec<Borrowed>),
        One(Borrowed),
        None,
    }
    Ok(match Written::deserialize(reader)? {
        Written::Many(all) => all,
        Written::One(one) => vec![one],
        Written::None => Vec::new(),
    })
}

/// What is read of a training that another borrowed from: its other settings may be those of an older trainer.
#[derive(Debug, Deserialize)]
struct Origin {
    #[serde(deserialize_with = "one_or_more")]
    borrowed: Vec<Borrowed>,
}

/// When to save and to stop, which changes nothing that is learnt.
#[derive(Debug, Clone)]
pub struct Sitting {
    /// Seconds between two saves.
    pub save_every: u64,
    /// Stop behind this step.
    pub until: Option<u64>,
    /// Once set, save and stop.
    pub stop: Arc<AtomicBool>,
}

/// A training in memory.
pub struct Training {
    folder: PathBuf,
    /// What decides it.
    pub settings: Settings,
    /// The model.
    pub model: Model,
    /// What the optimiser remembers.
    pub moments: Vec<Moments>,
    /// How far it has come.
    pub progress: Progress,
    /// Its samples.
    pub samples: Samples,
    /// Their pictures.
    pub pictures: Pictures,
}

impl Training {
    /// Begins a training in a folder that holds none.
    pub fn begin(folder: &Path, settings: Settings) -> Result<Self, Box<dyn Error>> {
        fs::create_dir_all(folder)?;
        if folder.join(state::FILE).exists() {
            return Err(format!("`{}` holds a training: use `resume`", folder.display()).into());
        }
        let records = read(&settings.data)?;
        let tokenizer = match settings.borrowed.first() {
            Some(borrowed) => tokenizer(&borrowed.from)?,
            None => {
                let all: Vec<Record> = records.values().flatten().cloned().collect();
                let template = Shape::Vila.template().render("");
                vocabulary::train(&all, &template, settings.vocabulary)?
            }
        };
        tokenizer
            .save(folder.join("tokenizer.json"), true)
            .map_err(|error| error.to_string())?;
        fs::write(
            folder.join("training.json"),
            serde_json::to_string_pretty(&settings)? + "\n",
        )?;
        fs::write(folder.join("loss.csv"), LOG_HEADER)?;
        let training = Self::assemble(folder, settings, tokenizer, &records)?;
        let shown: Vec<usize> = (0..training.pictures.count().min(WHITENED)).collect();
        if let Some(patches) = patches(&shown, &training.pictures, &training.model.sizes)? {
            training.model.whiten(&patches)?;
        }
        for Borrowed { from, parts } in &training.settings.borrowed {
            state::borrow(&from.join(state::FILE), &training.model.parameters, parts)?;
        }
        Ok(Self {
            moments: Moments::fresh(&training.model.parameters)?,
            ..training
        })
    }

    /// Goes on with the training in `folder`, with another plan if one is given.
    pub fn resume(folder: &Path, plan: Option<Plan>) -> Result<Self, Box<dyn Error>> {
        let mut settings = settings(folder)?;
        let before = settings.plan.clone();
        if let Some(plan) = plan {
            settings.plan = plan;
        }
        let tokenizer = tokenizer(folder)?;
        let records = read(&settings.data)?;
        let mut training = Self::assemble(folder, settings, tokenizer, &records)?;
        training.progress = state::load(
            &folder.join(state::FILE),
            &training.model.parameters,
            &mut training.moments,
        )?;
        training.settings.plan.continues(&before, training.progress.step)?;
        fs::write(
            folder.join("training.json"),
            serde_json::to_string_pretty(&training.settings)? + "\n",
        )?;
        training.cut_log()?;
        Ok(training)
    }

    fn assemble(
        folder: &Path,
        settings: Settings,
        tokenizer: tokenizers::Tokenizer,
        records: &Records,
    ) -> Result<Self, Box<dyn Error>> {
        let model = Model::new(sizes(&settings, &tokenizer), settings.seed)?;
        let side = model.sizes.tower.image_size;
        // The files of the checkpoint to be, so that they are read as evaluation reads them.
        vocabulary::write(&tokenizer, settings.shape, &folder.join("tokenizer"))?;
        let reader = Tokenizer::open(&folder.join("tokenizer"))?;
        let image_token = (settings.shape == Shape::Llava).then(|| model.sizes.llama.vocabulary as u32 - 2);
        let paths: Vec<&str> = records
            .values()
            .flatten()
            .flat_map(|record| record.pictures.iter().map(String::as_str))
            .collect();
        let preprocess = settings.shape.preprocess(side);
        let pictures = Pictures::open(folder, &settings.data, &paths, preprocess, side)?;
        let mut wording = Wording::new(&reader, settings.shape.template(), image_token)?;
        let mut samples = Samples::new();
        for (source, records) in records {
            let tokenised = records.iter().map(|record| wording.sample(record, &pictures));
            samples.insert(*source, tokenised.collect::<Result<_, _>>()?);
        }
        Ok(Self {
            folder: folder.to_owned(),
            moments: Moments::fresh(&model.parameters)?,
            model,
            settings,
            progress: Progress::default(),
            samples,
            pictures,
        })
    }

    /// Trains to the end of the plan, to the last step of the sitting, or until it is stopped; then saves.
    pub fn run(&mut self, sitting: &Sitting) -> Result<(), Box<dyn Error>> {
        let mut log = BufWriter::new(OpenOptions::new().append(true).open(self.folder.join("loss.csv"))?);
        let mut sampler = Sampler::new(&self.samples, self.settings.seed, self.progress.drawn.clone());
        let (mut saved, mut told) = (Instant::now(), Instant::now());
        let plan = self.settings.plan.clone();
        let last = sitting.until.unwrap_or(u64::MAX);
        while let Some((stage, at)) = plan.at(self.progress.step).filter(|_| self.progress.step < last) {
            let start = Instant::now();
            self.model.parameters.train_only(&stage.train)?;
            let draws = sampler.draw(self.progress.step, stage.batch, &stage.mixture)?;
            let passes = Passes {
                model: &self.model,
                pictures: &self.pictures,
                size: self.settings.pass,
                room: self.settings.room,
            };
            let passed = passes.run(stage.objective, &draws)?;
            let rate = stage.rate(at);
            let gradient = self
                .settings
                .optimiser
                .step(&self.model.parameters, &mut self.moments, rate)?;
            self.progress.step += 1;
            self.progress.seconds += start.elapsed().as_secs_f64();
            self.progress.drawn.clone_from(&sampler.drawn);
            writeln!(
                log,
                "{},{},{:.4},{:.4},{rate:.3e},{gradient:.3},{},{:.1}",
                self.progress.step, stage.name, passed.loss, passed.foreseen, passed.tokens, self.progress.seconds
            )?;
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                eprintln!(
                    "step {} {} loss {:.3} foreseen {:.3} {:.2} s",
                    self.progress.step,
                    stage.name,
                    passed.loss,
                    passed.foreseen,
                    start.elapsed().as_secs_f64()
                );
            }
            let stopped = sitting.stop.load(Ordering::Relaxed);
            if stopped || saved.elapsed() > Duration::from_secs(sitting.save_every) {
                log.flush()?;
                self.save()?;
                saved = Instant::now();
            }
            if stopped {
                return Ok(());
            }
        }
        log.flush()?;
        self.save()
    }

    /// Saves where the training stands.
    pub fn save(&self) -> Result<(), Box<dyn Error>> {
        let path = self.folder.join(state::FILE);
        state::save(&path, &self.model.parameters, &self.moments, &self.progress)
    }

    /// Drops the rows of steps that were done behind the last save.
    fn cut_log(&self) -> Result<(), Box<dyn Error>> {
        let path = self.folder.join("loss.csv");
        let text = fs::read_to_string(&path)?;
        let kept = text.lines().take(1 + usize::try_from(self.progress.step)?);
        let mut file = File::create(&path)?;
        for line in kept {
            writeln!(file, "{line}")?;
        }
        Ok(())
    }
}

/// Writes the averaged weights of the training in `folder` as a checkpoint, with its settings and its loss curve and
/// those of the trainings that it borrowed from, the earliest first.
pub fn export(folder: &Path, to: &Path) -> Result<Progress, Box<dyn Error>> {
    let settings = settings(folder)?;
    let tokenizer = tokenizer(folder)?;
    let model = Model::new(sizes(&settings, &tokenizer), settings.seed)?;
    let mut moments = Moments::fresh(&model.parameters)?;
    let progress = state::load(&folder.join(state::FILE), &model.parameters, &mut moments)?;
    let values: Vec<&Tensor> = moments.iter().map(|moments| &moments.average).collect();
    export::checkpoint(to, &model, &values, &tokenizer)?;
    record(folder, to)?;
    for (number, folder) in origins(folder)?.iter().enumerate() {
        record(folder, &to.join("history").join((number + 1).to_string()))?;
    }
    Ok(progress)
}

/// The trainings that the one in `folder` borrowed from, each behind those that it borrowed from itself.
fn origins(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found: Vec<PathBuf> = Vec::new();
    for Borrowed { from, .. } in read_json::<Origin>(folder)?.borrowed {
        let before = origins(&from)?;
        for folder in before.into_iter().chain([from]) {
            if !found.contains(&folder) {
                found.push(folder);
            }
        }
    }
    Ok(found)
}

/// Copies how a training went.
fn record(folder: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    for file in ["training.json", "loss.csv"] {
        fs::copy(folder.join(file), to.join(file))?;
    }
    Ok(())
}

fn settings(folder: &Path) -> Result<Settings, Box<dyn Error>> {
    read_json(folder)
}

fn read_json<T: DeserializeOwned>(folder: &Path) -> Result<T, Box<dyn Error>> {
    let path = folder.join("training.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    Ok(serde_json::from_str(&text).map_err(|error| format!("`{}`: {error}", path.display()))?)
}

/// The vocabulary of the training in `folder`.
pub fn tokenizer(folder: &Path) -> Result<tokenizers::Tokenizer, Box<dyn Error>> {
    let read = tokenizers::Tokenizer::from_file(folder.join("tokenizer.json"));
    Ok(read.map_err(|error| error.to_string())?)
}

fn sizes(settings: &Settings, tokenizer: &tokenizers::Tokenizer) -> Sizes {
    let added = if settings.shape == Shape::Llava {
        vocabulary::ADDED.len()
    } else {
        0
    };
    Sizes::of(settings.shape, tokenizer.get_vocab_size(true) + added)
}

/// The records of each file.
type Records = BTreeMap<Source, Vec<Record>>;

fn read(data: &Path) -> Result<Records, Box<dyn Error>> {
    let files = Source::ALL
        .into_iter()
        .map(|source| Ok((source, records::read(data, source)?)));
    let records: Records = files.collect::<Result<_, Box<dyn Error>>>()?;
    if records.values().all(Vec::is_empty) {
        let files = Source::ALL.map(Source::file).join("`, `");
        return Err(format!("`{}` holds no data: looked for `{files}`", data.display()).into());
    }
    Ok(records)
}
