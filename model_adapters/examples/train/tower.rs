//! The vision towers, CLIP's and SigLIP's, up to the state that is selected. The blocks behind it are drawn, so that the
//! files are whole, and never run.

use std::error::Error;

use model_adapters::checkpoint::{Activation, SelectFeature, TowerConfig, TowerKind};
use tch::{Kind, Tensor};

use crate::layers::{LayerNorm, Linear};
use crate::parameters::{OPTIONS, Parameters, Part, Stored};

/// Longest wave of the position embedding, in patches.
const LONGEST_WAVE: f64 = 100.0;

/// Variance, as a share of the largest, below which a direction counts as noise.
const NOISE: f64 = 1e-4;
/// Deviation of a whitened embedding's numbers.
const LIVELY: f64 = 0.7;

/// A tower.
#[derive(Debug)]
pub struct Tower {
    patches: Linear,
    /// `[1, 1, width]`, CLIP's.
    class: Option<Tensor>,
    /// `[patches, width]`; CLIP's begins with the class token's.
    positions: Tensor,
    /// CLIP's.
    norm: Option<LayerNorm>,
    blocks: Vec<Block>,
    select_feature: SelectFeature,
}

#[derive(Debug)]
struct Block {
    attention_norm: LayerNorm,
    qkv: Linear,
    output: Linear,
    mlp_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    activation: Activation,
    heads: i64,
}

impl Tower {
    /// Draws the tower that `config` describes.
    pub fn new(config: &TowerConfig, parameters: &mut Parameters) -> Result<Self, Box<dyn Error>> {
        let width = config.hidden_size;
        let side = config.patches_per_side();
        let lies = Stored::Kernel {
            patch: config.patch_size as i64,
        };
        let sizes = [3 * config.patch_size * config.patch_size, width];
        let name = "embeddings.patch_embedding";
        let waves = waves(side, width)?;
        let (patches, class, positions, norm) = match config.kind {
            TowerKind::Siglip => {
                let patches = Linear::with_bias(parameters, Part::Tower, name, sizes, 1.0, lies)?;
                (patches, None, waves, None)
            }
            TowerKind::Clip => {
                let class = Tensor::f_randn([width as i64], OPTIONS)?;
                let class = parameters.free(Part::Tower, "embeddings.class_embedding", class)?;
                let patches = Linear::new(parameters, Part::Tower, name, sizes, 1.0, lies)?;
                let none = Tensor::f_zeros([1, width as i64], OPTIONS)?;
                let norm = LayerNorm::new(parameters, Part::Tower, "pre_layrnorm", width, config.layer_norm_eps)?;
                (patches, Some(class), Tensor::f_cat(&[&none, &waves], 0)?, Some(norm))
            }
            TowerKind::InternVit => return Err("InternViT is not trained here".into()),
        };
        let positions = parameters.free(Part::Tower, "embeddings.position_embedding.weight", positions)?;
        let mut blocks = (0..config.layers)
            .map(|block| Block::new(config, &format!("encoder.layers.{block}"), parameters))
            .collect::<Result<Vec<_>, _>>()?;
        blocks.truncate(config.select_state);
        let _unused = LayerNorm::new(parameters, Part::Tower, "post_layernorm", width, config.layer_norm_eps)?;
        Ok(Self {
            patches,
            class,
            positions,
            norm,
            blocks,
            select_feature: config.select_feature,
        })
    }

    /// Sets the patch embedding to what sees the pictures' own variations, `patches` `[P, patches, 3 · p · p]`, all as
    /// strong: drawn weights see brightness and little else, for that is what neighbouring pixels share.
    pub fn whiten(&self, patches: &Tensor) -> Result<(), Box<dyn Error>> {
        let _guard = tch::no_grad_guard();
        let patches = patches.f_flatten(0, 1)?;
        let width = self.patches.weight().size2()?.0;
        let mean = patches.f_mean_dim(0, false, Kind::Float)?;
        let (variances, directions) = patches
            .f_tr()?
            .f_cov(1, None::<&Tensor>, None::<&Tensor>)?
            .f_linalg_eigh("L")?;
        let strongest = variances.f_max()?.f_double_value(&[])?;
        let first = variances.size1()? - width;
        let scale = variances
            .f_narrow(0, first, width)?
            .f_add_scalar(strongest * NOISE)?
            .f_rsqrt()?
            .f_mul_scalar(LIVELY)?;
        let seen = directions.f_narrow(1, first, width)?.f_mul(&scale)?.f_tr()?;
        self.patches.set(&seen, &mean)
    }

    /// Patches `[P, patches, 3 · p · p]` to the selected tokens `[P, T, width]`.
    pub fn forward(&self, patches: &Tensor) -> Result<Tensor, Box<dyn Error>> {
        let mut hidden = self.patches.forward(patches)?;
        if let Some(class) = &self.class {
            let (pictures, _, width) = hidden.size3()?;
            let class = class.f_view([1, 1, width])?.f_expand([pictures, 1, width], false)?;
            hidden = Tensor::f_cat(&[&class, &hidden], 1)?;
        }
        hidden = hidden.f_add(&self.positions)?;
        if let Some(norm) = &self.norm {
            hidden = norm.forward(&hidden)?;
        }
        for block in &self.blocks {
            hidden = block.forward(&hidden)?;
        }
        Ok(match self.select_feature {
            SelectFeature::ClsPatch => hidden,
            SelectFeature::Patch => hidden.f_slice(1, 1, None, 1)?,
        })
    }
}

impl Block {
    fn new(config: &TowerConfig, name: &str, parameters: &mut Parameters) -> Result<Self, Box<dyn Error>> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        // Two additions a block to the residual stream: together they shall not drown what came in.
        let out = 1.0 / (2.0 * config.layers as f64).sqrt();
        let norm = |parameters: &mut Parameters, part: &str| {
            LayerNorm::new(
                parameters,
                Part::Tower,
                &format!("{name}.{part}"),
                width,
                config.layer_norm_eps,
            )
        };
        let linear = |parameters: &mut Parameters, part: &str, sizes, gain, lies| {
            Linear::with_bias(parameters, Part::Tower, &format!("{name}.{part}"), sizes, gain, lies)
        };
        Ok(Self {
            attention_norm: norm(parameters, "layer_norm1")?,
            qkv: linear(parameters, "self_attn.qkv_proj", [width, 3 * width], 1.0, Stored::Qkv)?,
            output: linear(parameters, "self_attn.out_proj", [width, width], out, Stored::Whole)?,
            mlp_norm: norm(parameters, "layer_norm2")?,
            inner: linear(parameters, "mlp.fc1", [width, inner], 1.0, Stored::Whole)?,
            outer: linear(parameters, "mlp.fc2", [inner, width], out, Stored::Whole)?,
            activation: config.activation,
            heads: config.heads as i64,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, Box<dyn Error>> {
        let (pictures, count, width) = x.size3()?;
        let shape = [pictures, count, 3, self.heads, width / self.heads];
        let qkv = self.qkv.forward(&self.attention_norm.forward(x)?)?.f_view(shape)?;
        let qkv = qkv.f_permute([2, 0, 3, 1, 4])?;
        let part = |index| qkv.f_select(0, index);
        let mixed = Tensor::f_scaled_dot_product_attention(
            &part(0)?,
            &part(1)?,
            &part(2)?,
            None::<&Tensor>,
            0.0,
            false,
            None,
            false,
        )?;
        let mixed = mixed.f_transpose(1, 2)?.f_reshape([pictures, count, width])?;
        let x = x.f_add(&self.output.forward(&mixed)?)?;
        let inner = self.inner.forward(&self.mlp_norm.forward(&x)?)?;
        let inner = match self.activation {
            Activation::QuickGelu => inner.f_mul(&inner.f_mul_scalar(1.702)?.f_sigmoid()?)?,
            Activation::GeluTanh => inner.f_gelu("tanh")?,
            Activation::Gelu => inner.f_gelu("none")?,
        };
        Ok(x.f_add(&self.outer.forward(&inner)?)?)
    }
}

/// Sines and cosines of row and column, `[side², width]`: neighbours are alike from the first step on. A quarter of the
/// width each; what is left over is zero.
fn waves(side: usize, width: usize) -> Result<Tensor, Box<dyn Error>> {
    let quarter = width / 4;
    let mut values = vec![0_f32; side * side * width];
    for (patch, row) in values.chunks_exact_mut(width).enumerate() {
        for wave in 0..quarter {
            let frequency = LONGEST_WAVE.powf(-(wave as f64) / quarter as f64);
            for (axis, at) in [patch / side, patch % side].into_iter().enumerate() {
                let angle = at as f64 * frequency;
                row[2 * axis * quarter + wave] = angle.sin() as f32;
                row[(2 * axis + 1) * quarter + wave] = angle.cos() as f32;
            }
        }
    }
    Ok(Tensor::f_from_slice(&values)?.f_view([(side * side) as i64, width as i64])?)
}
