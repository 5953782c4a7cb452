//! A checkpoint behind the libtorch runner, as `run` sees it: opened and checked at once, loaded when the first
//! question is asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use model_adapters::checkpoint::Checkpoint;
use model_adapters::runner::{
    Batching, Device, Dtype, DtypeChoice, Exactness, Hashing, Keep, Learned, Libtorch, RunnerSettings, VilaAdapter,
};
use model_adapters::{Adapter, Request, Script};

use crate::cli::{AspectRatio, BatchSize, DtypeArg, RunArgs};
use crate::fault::Fault;
use crate::fingerprint::ModelFile;
use crate::learned_file::LearnedFile;

/// A checkpoint and how it is to be run.
pub struct Runner {
    checkpoint: Checkpoint,
    settings: RunnerSettings,
    adapter: Option<VilaAdapter>,
    stop: Arc<AtomicBool>,
}

impl Runner {
    /// Opens the checkpoint that `--model` names and reads the options that concern it.
    pub fn open(args: &RunArgs) -> Result<Self, Fault> {
        let user = |error: &dyn std::fmt::Display| Fault::User(error.to_string());
        let device = args.device.parse::<Device>().map_err(|error| user(&error))?;
        let geometry = match args.image_aspect_ratio {
            AspectRatio::Auto => None,
            AspectRatio::Fixed(geometry) => Some(geometry),
        };
        let dtype = match args.dtype {
            DtypeArg::Auto => DtypeChoice::Auto,
            DtypeArg::Float32 => DtypeChoice::Fixed(Dtype::Float32),
            DtypeArg::Bfloat16 => DtypeChoice::Fixed(Dtype::BFloat16),
            DtypeArg::Float16 => DtypeChoice::Fixed(Dtype::Float16),
            DtypeArg::Int4 => DtypeChoice::FourBits,
        };
        let checkpoint = Checkpoint::open_with(&args.model, &args.checkpoint.settings())?;
        for remark in &checkpoint.remarks {
            eprintln!("{remark}");
        }
        let mut settings = RunnerSettings {
            device,
            dtype,
            profile: args.profile,
            template: args.conv_template,
            geometry,
            jpeg_decoder: args.jpeg_decoder,
            stop: args.stop,
            keep: None,
            threads: args.threads.map(usize::from),
            batching: Batching {
                rows: match args.batch_size {
                    BatchSize::Auto => None,
                    BatchSize::Fixed(rows) => Some(rows),
                },
                exactness: exactness(args),
                dedupe: !args.no_dedupe,
                ignore_end_tokens: args.ignore_eos,
                trace: args.trace.is_some(),
            },
        };
        settings.check(&checkpoint)?;
        // Decided once, so that the record says what the load does.
        settings.keep = Some(settings.loading(&checkpoint).keep);
        Ok(Self {
            checkpoint,
            settings,
            adapter: None,
            stop: Arc::default(),
        })
    }

    /// Lets it leave questions in flight unfinished once `stop` is set.
    pub fn stop_when(&mut self, stop: Arc<AtomicBool>) {
        self.stop = stop;
    }

    /// Goes on from what earlier runs measured.
    pub fn recall(&mut self, folder: &Path, identity: &BTreeMap<String, String>) -> Result<(), Fault> {
        let kept = LearnedFile::of(folder, identity, &self.machine()).read()?;
        if let (Some(adapter), Some(learned)) = (&mut self.adapter, kept) {
            adapter.remember(learned);
        }
        Ok(())
    }

    /// Keeps what has been measured for later runs.
    pub fn keep(&self, folder: &Path, identity: &BTreeMap<String, String>) -> Result<(), Fault> {
        match &self.adapter {
            Some(adapter) if adapter.learned() != Learned::default() => {
                LearnedFile::of(folder, identity, &self.machine()).write(adapter.learned())
            }
            _ => Ok(()),
        }
    }

    /// What the checkpoint is called.
    pub fn name(&self) -> String {
        self.checkpoint.name()
    }

    /// Every file that an answer depends on.
    pub fn files(&self) -> Vec<ModelFile> {
        let mut files = self.checkpoint.config_files();
        files.extend(self.checkpoint.weight_files());
        let named = |path: PathBuf| ModelFile {
            name: self.checkpoint.file_name(&path),
            path,
        };
        files.into_iter().map(named).collect()
    }

    /// What an answer to `script` depends on besides files and prompt.
    pub fn identity(&self, script: Script) -> Vec<(&'static str, String)> {
        self.settings.identity(&self.checkpoint, script)
    }

    /// The whole text that `request` becomes.
    pub fn prompt(&self, request: &Request) -> String {
        self.settings.rendered_prompt(&self.checkpoint, request)
    }

    /// Where it computes, for the record.
    pub fn machine(&self) -> BTreeMap<String, String> {
        let libtorch = Libtorch::describe();
        BTreeMap::from([
            ("device".to_owned(), self.settings.device.to_string()),
            ("libtorch".to_owned(), libtorch.version.unwrap_or_default()),
            ("threads".to_owned(), libtorch.threads.to_string()),
            ("cpu".to_owned(), libtorch.cpu_features.join(" ")),
            ("weights".to_owned(), self.settings.keep.map_or("", Keep::id).to_owned()),
        ])
    }

    /// Loads the model on the first call, and hashes in the same pass those of `unhashed` that it reads.
    pub fn load(&mut self, unhashed: impl FnOnce() -> Vec<PathBuf>) -> Result<Vec<(PathBuf, String)>, Fault> {
        let mut hashing = Hashing::default();
        if self.adapter.is_none() {
            hashing = Hashing::of(unhashed());
            if self.settings.keep == Some(Keep::AsStored) {
                eprintln!(
                    "the weights do not fit into free memory as float32: they stay as stored and are widened one matrix at \
                     a time; answers are the same, but slower"
                );
            }
            let start = std::time::Instant::now();
            let mut adapter = VilaAdapter::open_hashing(&self.checkpoint, self.settings, &mut hashing)?;
            adapter.stop_when(Arc::clone(&self.stop));
            self.adapter = Some(adapter);
            eprintln!("model loaded in {:.1} s", start.elapsed().as_secs_f64());
        }
        Ok(hashing.found().to_vec())
    }

    /// The model that [`Self::load`] has loaded.
    pub fn adapter(&mut self) -> Result<Box<dyn Adapter + '_>, Fault> {
        match &mut self.adapter {
            Some(adapter) => Ok(Box::new(adapter)),
            None => Err(Fault::Bug("the model is loaded and not there".to_owned())),
        }
    }
}

fn exactness(args: &RunArgs) -> Exactness {
    match (args.fast, args.one_at_a_time) {
        (true, _) => Exactness::Fast,
        (_, true) => Exactness::Reference,
        _ => Exactness::Exact,
    }
}
