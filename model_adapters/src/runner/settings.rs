//! What the user may choose about a run of a model, and what it comes to with a checkpoint.

use crate::checkpoint::Checkpoint;
use crate::picture::{Geometry, JpegDecoder, Preprocess};
use crate::profile::Profile;
use crate::request::{AdapterError, Request, Script};
use crate::runner::adapter::Message;
use crate::runner::batch::Batching;
use crate::runner::batch::exactness::Exactness;
use crate::runner::device::Device;
use crate::runner::loading::{Keep, Loading, free_memory};
use crate::runner::torch::{Dtype, DtypeChoice};
use crate::stop::StopRule;
use crate::template::ConvTemplate;

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
    /// Whose rounding decoded JPEG files have.
    pub jpeg_decoder: JpegDecoder,
    /// Where answers end.
    pub stop: StopRule,
    /// How weight matrices are kept; `None` decides by dtype and free memory. No answer depends on it.
    pub keep: Option<Keep>,
    /// Threads of one libtorch operation; `None` as [`crate::runner::ThreadsBy`] says.
    pub threads: Option<usize>,
    /// How questions are batched.
    pub batching: Batching,
}

impl RunnerSettings {
    /// All but the device and the dtype left to the checkpoint.
    pub fn new(device: Device, dtype: DtypeChoice) -> Self {
        Self {
            device,
            dtype,
            profile: None,
            template: None,
            geometry: None,
            jpeg_decoder: JpegDecoder::default(),
            stop: StopRule::Auto,
            keep: None,
            threads: None,
            batching: Batching::default(),
        }
    }

    /// What an answer of `checkpoint` to questions of `script` depends on besides its files and the prompt, as (name,
    /// value) pairs. Another value is another run; the device is not among them.
    pub fn identity(&self, checkpoint: &Checkpoint, script: Script) -> Vec<(&'static str, String)> {
        let profile = self.profile_for(checkpoint);
        let mut identity = vec![
            ("dtype", self.dtype.resolve(self.device).id().to_owned()),
            ("profile", profile.name().to_owned()),
            ("conv-template", self.template_for(checkpoint).name().to_owned()),
            (
                "image-aspect-ratio",
                self.geometry_for(checkpoint, script).name().to_owned(),
            ),
            ("stop", self.stop.ending(profile, script).id().to_owned()),
        ];
        if self.jpeg_decoder != JpegDecoder::default() {
            identity.push(("jpeg-decoder", self.jpeg_decoder.name().to_owned()));
        }
        if self.batching.exactness == Exactness::Fast {
            identity.push(("exactness", "fast".to_owned()));
        }
        if self.batching.ignore_end_tokens {
            identity.push(("end-tokens", "ignored".to_owned()));
        }
        identity
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

    pub(super) fn profile_for(&self, checkpoint: &Checkpoint) -> Profile {
        self.profile.unwrap_or_else(|| checkpoint.profile())
    }

    fn geometry_for(&self, checkpoint: &Checkpoint, script: Script) -> Geometry {
        let configured = checkpoint.preprocess.geometry;
        self.geometry
            .unwrap_or_else(|| self.profile_for(checkpoint).geometry(script, configured))
    }

    /// How `checkpoint` is brought into memory, which may depend on what is free now.
    pub fn loading(&self, checkpoint: &Checkpoint) -> Loading {
        let loading = Loading::choose(self.dtype, self.device, checkpoint, free_memory());
        let wide_tower = self.profile_for(checkpoint).wide_tower(checkpoint.layout);
        Loading {
            tower_dtype: if wide_tower {
                Dtype::Float32
            } else {
                loading.tower_dtype
            },
            keep: self.keep.unwrap_or(loading.keep),
            ..loading
        }
    }

    pub(super) fn template_for(&self, checkpoint: &Checkpoint) -> ConvTemplate {
        self.template.unwrap_or_else(|| checkpoint.conv_template())
    }
}
