//! The whole model: a picture to rows, a prompt to an answer.

use tch::Tensor;

use crate::checkpoint::{Checkpoint, LlamaConfig, ProjectorConfig, TowerConfig};
use crate::request::GenerationLimits;
use crate::runner::error::{AnswerError, LoadError, TorchError};
use crate::runner::generate::{self, Generation, Watch};
use crate::runner::kv_cache::KvCache;
use crate::runner::llama::Llama;
use crate::runner::loading::{Keep, Loading};
use crate::runner::pass::{self, Hashing};
use crate::runner::projector::Projector;
use crate::runner::splice::Splice;
use crate::runner::torch::{Dtype, Placement};
use crate::runner::vision_tower::VisionTower;
use crate::runner::watch;
use crate::runner::weights::Weights;
use crate::tokenizer::PromptToken;

/// Caches are made this many positions longer than needed at most, so that prompts of similar length share one.
const CACHE_STEP: usize = 256;

/// A VILA or LLaVA-1.5 model on its device.
#[derive(Debug)]
pub struct VilaModel {
    placement: Placement,
    tower_dtype: Dtype,
    tower: VisionTower,
    projector: Projector,
    llama: Llama,
    input_size: usize,
    max_spliced_length: Option<usize>,
    eos: Vec<u32>,
    /// Kept between questions, so that its buffers are allocated once.
    cache: Option<KvCache>,
}

/// What a model is made of, whichever files it comes from.
struct Parts<'a> {
    tower: (&'a TowerConfig, Weights<'a>),
    projector: (&'a ProjectorConfig, Weights<'a>),
    llama: (&'a LlamaConfig, Weights<'a>),
    eos: &'a [u32],
}

impl VilaModel {
    /// Reads the model as `loading` says, with the first `rows` rows of the decoder's embedding and head, and hashes
    /// the files that `hashing` wants as it goes.
    ///
    /// # Errors
    ///
    /// A tensor that cannot be read, has another shape than the configuration asks for or is not finite in the working
    /// dtype; parts whose widths differ.
    pub fn load(
        checkpoint: &Checkpoint,
        rows: usize,
        loading: Loading,
        hashing: &mut Hashing,
    ) -> Result<Self, LoadError> {
        let Loading {
            placement,
            tower_dtype,
            keep,
        } = loading;
        if keep == Keep::FourBits && checkpoint.llama_tensors.quantised_parameters() == 0 {
            return Err(LoadError::Mismatch(format!(
                "`int4` keeps the four bits of an AWQ checkpoint, but `{}` has none; use `--dtype auto`",
                checkpoint.folder.display()
            )));
        }
        let for_tower = Placement {
            dtype: tower_dtype,
            ..placement
        };
        let modules = [
            (&checkpoint.tower_tensors, for_tower),
            (&checkpoint.projector_tensors, placement),
            (&checkpoint.llama_tensors, placement),
        ];
        let [tower, projector, llama] = pass::walk(modules, keep, hashing)?;
        let parts = Parts {
            tower: (
                &checkpoint.tower,
                Weights::of(&checkpoint.tower_tensors, for_tower, keep, tower),
            ),
            projector: (
                &checkpoint.projector,
                Weights::of(&checkpoint.projector_tensors, placement, keep, projector),
            ),
            llama: (
                &checkpoint.llama,
                Weights::of(&checkpoint.llama_tensors, placement, keep, llama),
            ),
            eos: &checkpoint.generation.eos,
        };
        Self::assemble(&parts, rows, loading)
    }

    fn assemble(parts: &Parts<'_>, rows: usize, loading: Loading) -> Result<Self, LoadError> {
        let _guard = tch::no_grad_guard();
        let (tower, projector, llama) = (parts.tower.0, parts.projector.0, parts.llama.0);
        if projector.tower_size != tower.feature_size() || projector.hidden_size != llama.hidden_size {
            return Err(LoadError::Mismatch(format!(
                "the projector maps width {} to {}, but the vision tower has {} and the decoder {}",
                projector.tower_size,
                projector.hidden_size,
                tower.feature_size(),
                llama.hidden_size
            )));
        }
        Ok(Self {
            placement: loading.placement,
            tower_dtype: loading.tower_dtype,
            tower: VisionTower::load(tower, &parts.tower.1)?,
            projector: Projector::load(projector, &parts.projector.1)?,
            llama: Llama::load(llama, rows, &parts.llama.1, loading.placement)?,
            input_size: tower.input_size(),
            max_spliced_length: llama.max_spliced_length,
            eos: parts.eos.to_vec(),
            cache: None,
        })
    }

    /// Where the model lies and what it computes in.
    pub const fn placement(&self) -> Placement {
        self.placement
    }

    /// The tower's selected tokens, `[1, T, tower width]`, of normalised pixels `[3, side, side]`.
    ///
    /// # Errors
    ///
    /// [`AnswerError::Sample`] where there are more or fewer pixels than the tower takes.
    pub fn tower_features(&self, pixels: &[f32]) -> Result<Tensor, AnswerError> {
        let _guard = tch::no_grad_guard();
        let side = self.input_size;
        if pixels.len() != 3 * side * side {
            return Err(AnswerError::Sample(format!(
                "preprocessing gave {} values, but the vision tower takes 3 x {side} x {side}",
                pixels.len()
            )));
        }
        let (kind, device) = self.placement.options();
        let pixels = Tensor::f_from_slice(pixels)?
            .f_to_device(device)?
            .f_to_kind(kind)?
            .f_to_kind(self.tower_dtype.kind())?
            .f_view([1, 3, side as i64, side as i64])?;
        Ok(self.tower.forward(&pixels)?.f_to_kind(kind)?)
    }

    /// The rows that take a picture's place in the decoder's input, `[1, rows, H]`, of normalised pixels
    /// `[3, side, side]`.
    ///
    /// # Errors
    ///
    /// As [`VilaModel::tower_features`].
    pub fn encode_picture(&self, pixels: &[f32]) -> Result<Tensor, AnswerError> {
        self.project(&self.tower_features(pixels)?)
    }

    /// The second half of [`VilaModel::encode_picture`].
    pub(crate) fn project(&self, features: &Tensor) -> Result<Tensor, AnswerError> {
        let _guard = tch::no_grad_guard();
        let rows = self.projector.forward(features)?;
        watch::see(|| "projector".to_owned(), &rows);
        Ok(rows)
    }

    /// The logits, one per row of the embedding, of the first new token.
    ///
    /// # Errors
    ///
    /// [`AnswerError::Sample`] where markers and pictures do not match or a token has no row in the embedding.
    pub fn first_logits(&mut self, prompt: &[PromptToken], pictures: &[Tensor]) -> Result<Vec<f32>, AnswerError> {
        let _guard = tch::no_grad_guard();
        let splice = self.splice(prompt, pictures)?;
        let embedded = splice.embed(&self.llama, pictures, splice.length)?;
        let cache = empty_cache(&mut self.cache, &self.llama, splice.length)?;
        watch::see(|| "decoder.0".to_owned(), &embedded);
        let logits = self.llama.forward(&embedded, cache)?;
        watch::see(|| "logits".to_owned(), &logits);
        Ok(Vec::try_from(logits)?)
    }

    /// Every hidden state between the pixels of each picture and the first new token's logits, in the order in which
    /// they are computed: `tower.{n}`, `tower` and `projector` once a picture (`tower.{n}` once a portion of tiles
    /// behind S2), then `decoder.{n}` and `logits`.
    ///
    /// # Errors
    ///
    /// As [`VilaModel::tower_features`] and [`VilaModel::first_logits`].
    pub fn trace(
        &mut self,
        prompt: &[PromptToken],
        pictures: &[Vec<f32>],
    ) -> Result<Vec<(String, Tensor)>, AnswerError> {
        let (done, seen) = watch::record(|| {
            let encoded = pictures
                .iter()
                .map(|pixels| self.encode_picture(pixels))
                .collect::<Result<Vec<_>, _>>()?;
            self.first_logits(prompt, &encoded)
        });
        done.map(|_| seen)
    }

    /// Answers `prompt`, whose markers stand for `pictures` as [`VilaModel::encode_picture`] made them.
    ///
    /// # Errors
    ///
    /// As [`VilaModel::first_logits`], and where the logits of a step are not finite.
    pub fn generate(
        &mut self,
        prompt: &[PromptToken],
        pictures: &[Tensor],
        limits: GenerationLimits,
    ) -> Result<Generation, AnswerError> {
        self.generate_watched(prompt, pictures, limits, &mut |_, _| Ok(()))
    }

    /// As [`VilaModel::generate`]; shows `watch` the logits `[V]` of every step with the ids generated before it.
    pub(crate) fn generate_watched(
        &mut self,
        prompt: &[PromptToken],
        pictures: &[Tensor],
        limits: GenerationLimits,
        watch: &mut Watch<'_>,
    ) -> Result<Generation, AnswerError> {
        let _guard = tch::no_grad_guard();
        let splice = self.splice(prompt, pictures)?;
        let embedded = splice.embed(&self.llama, pictures, splice.length)?;
        let positions = splice.length.saturating_add(limits.max_new_tokens);
        let cache = empty_cache(&mut self.cache, &self.llama, positions)?;
        let (ids, finish) = generate::greedy(&self.llama, &embedded, cache, &self.eos, limits, watch)?;
        Ok(Generation {
            ids,
            finish,
            prompt_tokens: splice.length,
            truncated: splice.truncated,
        })
    }

    /// The plan of a prompt's positions.
    pub(crate) fn splice(&self, prompt: &[PromptToken], pictures: &[Tensor]) -> Result<Splice, AnswerError> {
        Splice::of(&self.llama, prompt, pictures, self.max_spliced_length)
    }

    /// The decoder.
    pub(crate) const fn llama(&self) -> &Llama {
        &self.llama
    }

    /// What the cache of questions asked alone takes, which stays for the next one.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.cache.as_ref().map_or(0, KvCache::bytes)
    }

    /// The end tokens.
    pub(crate) fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// From now on only the limit ends an answer: for measuring speed at fixed lengths.
    pub fn ignore_end_tokens(&mut self) {
        self.eos.clear();
    }
}

/// The cache in `slot`, emptied; another one where there is none or it is too small for `positions`.
fn empty_cache<'a>(
    slot: &'a mut Option<KvCache>,
    llama: &Llama,
    positions: usize,
) -> Result<&'a mut KvCache, TorchError> {
    // The old buffers go before the new ones come.
    let reused = slot.take().filter(|cache| cache.capacity() >= positions);
    let cache = match reused {
        Some(cache) => cache,
        None => llama.cache(positions.div_ceil(CACHE_STEP).saturating_mul(CACHE_STEP))?,
    };
    let cache = slot.insert(cache);
    cache.clear();
    Ok(cache)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::checkpoint::{Activation, ProjectorKind, SelectFeature, TowerKind};
    use crate::runner::device::Device;
    use crate::runner::llama::tests::{config as llama_config, weights as llama_weights};
    use crate::runner::torch::Dtype;

    const CPU: Placement = Placement {
        device: Device::Cpu,
        dtype: Dtype::Float32,
    };
    const TOWER: TowerConfig = TowerConfig {
        kind: TowerKind::Siglip,
        hidden_size: 6,
        intermediate_size: 10,
        layers: 2,
        heads: 2,
        image_size: 6,
        patch_size: 2,
        layer_norm_eps: 1e-6,
        activation: Activation::GeluTanh,
        select_state: 1,
        select_feature: SelectFeature::ClsPatch,
        s2: None,
    };
    const PROJECTOR: ProjectorConfig = ProjectorConfig {
        kind: ProjectorKind::MlpDownsample,
        tower_size: 6,
        hidden_size: 32,
    };

    fn tower_shape(name: &str) -> Vec<i64> {
        match name {
            "embeddings.patch_embedding.weight" => vec![6, 3, 2, 2],
            "embeddings.position_embedding.weight" => vec![9, 6],
            _ if name.ends_with("fc1.weight") => vec![10, 6],
            _ if name.ends_with("fc1.bias") => vec![10],
            _ if name.ends_with("fc2.weight") => vec![6, 10],
            _ if name.ends_with("proj.weight") => vec![6, 6],
            _ => vec![6],
        }
    }

    fn projector_shape(name: &str) -> Vec<i64> {
        match name {
            "linear.0.weight" => vec![32, 24],
            "linear.1.weight" => vec![32, 32],
            _ if name.starts_with("norm") => vec![24],
            _ => vec![32],
        }
    }

    fn model_with(projector: &ProjectorConfig, limit: Option<usize>) -> Result<VilaModel, LoadError> {
        let llama = LlamaConfig {
            max_spliced_length: limit,
            ..llama_config(2)
        };
        let parts = Parts {
            tower: (&TOWER, Weights::random(CPU, tower_shape)),
            projector: (projector, Weights::random(CPU, projector_shape)),
            llama: (&llama, llama_weights(&llama)),
            eos: &[],
        };
        VilaModel::assemble(&parts, llama.vocabulary, Loading::plain(CPU))
    }

    /// A whole model, tiny and random; sequences are cut at `limit`.
    pub fn model(limit: Option<usize>) -> VilaModel {
        model_with(&PROJECTOR, limit).unwrap()
    }

    /// A picture for it.
    pub fn pixels(seed: f32) -> Vec<f32> {
        (0..3 * 6 * 6).map(|i| (i as f32 * seed).sin()).collect()
    }

    const LIMITS: GenerationLimits = GenerationLimits { max_new_tokens: 6 };

    fn prompt() -> Vec<PromptToken> {
        use PromptToken::{Picture, Text};
        vec![Text(1), Text(20), Picture(0), Text(13), Text(31)]
    }

    #[test]
    fn picture_rows_stand_where_the_marker_stood() {
        let model = model(None);
        let picture = model.encode_picture(&pixels(0.31)).unwrap();
        assert_eq!(picture.size(), [1, 4, 32]);
        let pictures = [picture.shallow_clone()];
        let splice = model.splice(&prompt(), &pictures).unwrap();
        assert_eq!((splice.length, splice.truncated), (8, false));
        let expected = Tensor::cat(
            &[
                model.llama.embed_ids(&[1, 20]).unwrap(),
                picture,
                model.llama.embed_ids(&[13, 31]).unwrap(),
            ],
            1,
        );
        for positions in 1..=8 {
            let embedded = splice.embed(&model.llama, &pictures, positions as usize).unwrap();
            assert_eq!(embedded, expected.narrow(1, 0, positions));
        }
    }

    #[test]
    fn the_answer_depends_on_the_picture_and_not_on_what_was_asked_before() {
        let mut model = model(None);
        let first = [model.encode_picture(&pixels(0.31)).unwrap()];
        let second = [model.encode_picture(&pixels(1.7)).unwrap()];
        let alone = model.first_logits(&prompt(), &first).unwrap();
        assert_eq!(alone.len(), 50);
        let answer = model.generate(&prompt(), &first, LIMITS).unwrap();
        assert_eq!((answer.prompt_tokens, answer.ids.len()), (8, 6));
        assert_ne!(model.first_logits(&prompt(), &second).unwrap(), alone);
        model
            .generate(&prompt(), &second, GenerationLimits { max_new_tokens: 600 })
            .unwrap();
        assert_eq!(model.first_logits(&prompt(), &first).unwrap(), alone);
        assert_eq!(model.generate(&prompt(), &first, LIMITS).unwrap(), answer);
        let best = (0..50).max_by(|&a, &b| alone[a].total_cmp(&alone[b])).unwrap();
        assert_eq!(answer.ids[0] as usize, best);
    }

    #[test]
    fn a_prompt_without_a_picture_runs_without_the_tower() {
        let answer = model(None).generate(&[PromptToken::Text(1)], &[], LIMITS).unwrap();
        assert_eq!((answer.prompt_tokens, answer.ids.len()), (1, 6));
    }

    #[test]
    fn truncation_keeps_the_beginning() {
        let mut cut = model(Some(5));
        let picture = [cut.encode_picture(&pixels(0.31)).unwrap()];
        let answer = cut.generate(&prompt(), &picture, LIMITS).unwrap();
        assert_eq!((answer.prompt_tokens, answer.truncated), (5, true));
        let mut whole = model(None);
        let shorter = [picture[0].narrow(1, 0, 3)];
        let by_hand = whole.generate(&prompt()[..3], &shorter, LIMITS).unwrap();
        assert_eq!((answer.ids, by_hand.truncated), (by_hand.ids, false));
    }

    #[test]
    fn what_does_not_fit_is_said_in_words() {
        let narrow = ProjectorConfig {
            hidden_size: 30,
            ..PROJECTOR
        };
        assert_eq!(
            model_with(&narrow, None).unwrap_err().to_string(),
            "the projector maps width 6 to 30, but the vision tower has 6 and the decoder 32"
        );
        let mut model = model(None);
        assert_eq!(
            model.encode_picture(&[0.0; 75]).unwrap_err().to_string(),
            "preprocessing gave 75 values, but the vision tower takes 3 x 6 x 6"
        );
        let wide = Tensor::zeros([1, 4, 40], (tch::Kind::Float, tch::Device::Cpu));
        assert_eq!(
            model.generate(&prompt(), &[wide], LIMITS).unwrap_err().to_string(),
            "a picture's rows are 40 wide, the decoder's 32"
        );
    }
}
