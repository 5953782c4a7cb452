//! The model under training: tower, projector, decoder.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use tch::{Reduction, Tensor};

use crate::batch::Batch;
use crate::decoder::{Decoder, Places};
use crate::parameters::Parameters;
use crate::places::{PlaceWords, Words};
use crate::plan::Objective;
use crate::projector::Projector;
use crate::sizes::Sizes;
use crate::tower::Tower;

/// Held while weights are drawn: libtorch has one generator for the whole process, and two models that draw at once would
/// share its numbers.
static DRAWING: Mutex<()> = Mutex::new(());

/// A model with all its weights.
#[derive(Debug)]
pub struct Model {
    /// What it is made of.
    pub sizes: Sizes,
    /// Its weights.
    pub parameters: Parameters,
    tower: Tower,
    projector: Projector,
    decoder: Decoder,
    words: PlaceWords,
}

impl Model {
    /// Draws the model of these sizes from libtorch's generator, seeded with `seed`.
    pub fn new(sizes: Sizes, seed: u64) -> Result<Self, Box<dyn Error>> {
        let _drawing = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
        tch::manual_seed(i64::try_from(seed)?);
        let mut parameters = Parameters::default();
        Ok(Self {
            tower: Tower::new(&sizes.tower, &mut parameters)?,
            projector: Projector::new(&sizes.projector, &mut parameters)?,
            decoder: Decoder::new(&sizes.llama, &mut parameters)?,
            words: PlaceWords::new(&sizes, &mut parameters)?,
            parameters,
            sizes,
        })
    }

    /// Fits the tower's first layer to `patches` of pictures; see [`Tower::whiten`].
    pub fn whiten(&self, patches: &Tensor) -> Result<(), Box<dyn Error>> {
        self.tower.whiten(patches)
    }

    /// The logits, `[n, V]`, of the tokens that `batch` teaches.
    pub fn logits(&self, batch: &Batch) -> Result<Tensor, Box<dyn Error>> {
        let pictures = match &batch.patches {
            None => None,
            Some(patches) => {
                let rows = self.projector.forward(&self.tower.forward(patches)?)?;
                Some(rows.f_flatten(0, 1)?)
            }
        };
        let places = Places {
            positions: &batch.positions,
            mask: &batch.mask,
            learnt: &batch.learnt,
        };
        self.decoder.forward(&batch.inputs, pictures.as_ref(), &places)
    }

    /// The loss of the words at the places of the pictures in `patches`, and which places were foreseen whole.
    /// They are told from the tower's tokens or, for [`Objective::Rows`], from the projector's rows.
    pub fn words_loss(
        &self,
        objective: Objective,
        patches: &Tensor,
        words: &[&Words],
    ) -> Result<(Tensor, Tensor), Box<dyn Error>> {
        let features = self.tower.forward(patches)?;
        if objective == Objective::Rows {
            let rows = self.projector.row_by_row(&self.projector.forward(&features)?)?;
            return self.words.loss_of_rows(&rows, self.decoder.head(), words);
        }
        self.words.loss(&features, words)
    }

    /// The sum of the losses of all tokens that `batch` teaches, and which of them were foreseen (`[n]`, bool).
    pub fn loss(&self, batch: &Batch) -> Result<(Tensor, Tensor), Box<dyn Error>> {
        let logits = self.logits(batch)?;
        let loss = logits.f_cross_entropy_loss(&batch.targets, None::<&Tensor>, Reduction::Sum, -100, 0.0)?;
        let foreseen = logits.f_detach()?.f_argmax(-1, false)?.f_eq_tensor(&batch.targets)?;
        Ok((loss, foreseen))
    }
}
