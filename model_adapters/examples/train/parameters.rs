//! The weights while they are trained, by name.
//!
//! Matrices that read the same input are one here (`qkv_proj`, `gate_up_proj`): fewer and larger products. The files
//! hold them apart, as [`Parameter::stored`] takes them.

use std::error::Error;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Numbers are trained in float32 on the CPU.
pub const OPTIONS: (Kind, Device) = (Kind::Float, Device::Cpu);

/// Which module of the model a weight belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The vision tower.
    Tower,
    /// The projector.
    Projector,
    /// The decoder.
    Decoder,
    /// What the tower is pre-trained with and no checkpoint holds.
    Words,
}

/// How a weight lies in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// As it is.
    Whole,
    /// A patch embedding, `[width, 3 · p · p]` here and `[width, 3, p, p]` there.
    Kernel {
        /// Side p of a patch.
        patch: i64,
    },
    /// `q_proj`, `k_proj` and `v_proj` on top of each other.
    Qkv,
    /// The same; rows of queries and keys lie in pairs (i, i + d/2) side by side, so that a rotation is one complex
    /// product.
    RotatedQkv {
        /// Heads of queries, as many of keys.
        heads: i64,
    },
    /// `gate_proj` and `up_proj` on top of each other.
    GateUp,
}

/// One trained tensor.
#[derive(Debug)]
pub struct Parameter {
    /// Its module.
    pub part: Part,
    /// Its name in the module, that of the files but for what is fused.
    pub name: String,
    /// The leaf that gradients gather at.
    pub value: Tensor,
    /// Whether weight decay draws it to zero: matrices, not norms, biases and positions.
    pub decays: bool,
    /// How it lies in the files.
    pub lies: Stored,
}

impl Parameter {
    /// Whether Muon steps it: a matrix that maps hidden states to hidden states. Embeddings, heads and the patches'
    /// kernel map from or to something else.
    pub fn turns(&self) -> bool {
        let hidden =
            self.part != Part::Words && !["model.embed_tokens.weight", "lm_head.weight"].contains(&&*self.name);
        self.decays && hidden && !matches!(self.lies, Stored::Kernel { .. })
    }

    /// How many matrices lie in it on top of each other.
    pub const fn fused(&self) -> i64 {
        match self.lies {
            Stored::Whole | Stored::Kernel { .. } => 1,
            Stored::GateUp => 2,
            Stored::Qkv | Stored::RotatedQkv { .. } => 3,
        }
    }

    /// What the files hold of `value`, a tensor of this parameter's shape, with their names.
    pub fn stored(&self, value: &Tensor) -> Result<Vec<(String, Tensor)>, Box<dyn Error>> {
        let rows = value.size().first().copied().unwrap_or_default();
        let cut = |fused: &str, parts: &[&str]| -> Result<Vec<(String, Tensor)>, Box<dyn Error>> {
            let count = rows / parts.len() as i64;
            let piece = |(at, part): (usize, &&str)| {
                let name = self.name.replace(fused, part);
                Ok((name, value.f_narrow(0, at as i64 * count, count)?))
            };
            parts.iter().enumerate().map(piece).collect()
        };
        let projections = ["q_proj", "k_proj", "v_proj"];
        match self.lies {
            Stored::Whole => Ok(vec![(self.name.clone(), value.shallow_clone())]),
            Stored::Kernel { patch } => Ok(vec![(self.name.clone(), value.f_view([rows, 3, patch, patch])?)]),
            Stored::Qkv => cut("qkv_proj", &projections),
            Stored::GateUp => cut("gate_up_proj", &["gate_proj", "up_proj"]),
            Stored::RotatedQkv { heads } => {
                let mut pieces = cut("qkv_proj", &projections)?;
                for (_, matrix) in pieces.iter_mut().take(2) {
                    *matrix = halves_apart(matrix, heads)?;
                }
                Ok(pieces)
            }
        }
    }
}

/// Rows in pairs side by side, `[heads · d/2 · 2, n]`, to rows half a head apart, as Llama files have them.
fn halves_apart(matrix: &Tensor, heads: i64) -> Result<Tensor, Box<dyn Error>> {
    let (rows, columns) = matrix.size2()?;
    let paired = matrix.f_view([heads, rows / heads / 2, 2, columns])?;
    Ok(paired.f_transpose(1, 2)?.f_reshape([rows, columns])?)
}

/// All weights of a model, in the order of their making.
#[derive(Debug, Default)]
pub struct Parameters {
    /// Every weight.
    pub list: Vec<Parameter>,
}

impl Parameters {
    /// A matrix of normally distributed numbers.
    pub fn matrix(
        &mut self,
        part: Part,
        name: &str,
        [rows, columns]: [usize; 2],
        deviation: f64,
        lies: Stored,
    ) -> Result<Tensor, Box<dyn Error>> {
        let value = Tensor::f_randn([rows as i64, columns as i64], OPTIONS)?.f_mul_scalar_(deviation)?;
        self.add(part, name, value, true, lies)
    }

    /// A vector of one number.
    pub fn vector(&mut self, part: Part, name: &str, length: usize, fill: f64) -> Result<Tensor, Box<dyn Error>> {
        let value = Tensor::f_full([length as i64], fill, OPTIONS)?;
        self.add(part, name, value, false, Stored::Whole)
    }

    /// A tensor that weight decay leaves alone.
    pub fn free(&mut self, part: Part, name: &str, value: Tensor) -> Result<Tensor, Box<dyn Error>> {
        self.add(part, name, value, false, Stored::Whole)
    }

    fn add(
        &mut self,
        part: Part,
        name: &str,
        value: Tensor,
        decays: bool,
        lies: Stored,
    ) -> Result<Tensor, Box<dyn Error>> {
        let value = value.f_set_requires_grad(true)?;
        self.list.push(Parameter {
            part,
            name: name.to_owned(),
            value: value.shallow_clone(),
            decays,
            lies,
        });
        Ok(value)
    }

    /// Lets gradients gather at the weights of `parts` alone.
    pub fn train_only(&self, parts: &[Part]) -> Result<(), Box<dyn Error>> {
        for parameter in &self.list {
            let _leaf = parameter.value.f_set_requires_grad(parts.contains(&parameter.part))?;
        }
        Ok(())
    }

    /// How many numbers there are.
    pub fn count(&self) -> usize {
        self.list.iter().map(|parameter| parameter.value.numel()).sum()
    }
}
