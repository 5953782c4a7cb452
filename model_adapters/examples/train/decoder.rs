//! The Llama decoder, for sequences in which several questions share one beginning.

use std::error::Error;

use model_adapters::checkpoint::LlamaConfig;
use tch::Tensor;

use crate::layers::{Linear, RmsNorm};
use crate::parameters::{OPTIONS, Parameters, Part, Stored};
use crate::sizes::CONTEXT;

/// Deviation of an embedding's numbers at first.
const EMBEDDING: f64 = 0.3;

/// The decoder with its embedding and its head.
#[derive(Debug)]
pub struct Decoder {
    /// `[V, H]`
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
    /// `[positions, d/2]`, complex: the rotation of each pair at each position.
    rotations: Tensor,
}

#[derive(Debug)]
struct Layer {
    input_norm: RmsNorm,
    qkv: Linear,
    output: Linear,
    post_norm: RmsNorm,
    gate_up: Linear,
    down: Linear,
    heads: i64,
}

/// Where the positions of a batch stand and what they see.
#[derive(Debug)]
pub struct Places<'a> {
    /// `[B, L]`, i64: the place in its own question's sequence.
    pub positions: &'a Tensor,
    /// `[B, 1, L, L]`: 0 where a position (third axis) sees another (fourth), minus infinity where it does not.
    pub mask: &'a Tensor,
    /// `[n]`, i64: the positions of the flattened batch whose next token is learnt. The last layer needs no others.
    pub learnt: &'a Tensor,
}

impl Decoder {
    /// Draws the decoder that `config` describes.
    pub fn new(config: &LlamaConfig, parameters: &mut Parameters) -> Result<Self, Box<dyn Error>> {
        let (hidden, rows) = (config.hidden_size, config.vocabulary);
        if config.kv_heads != config.heads || config.tied_embeddings {
            return Err(
                "only decoders with as many key heads as query heads and a head of their own are trained here".into(),
            );
        }
        let embedding = parameters.matrix(
            Part::Decoder,
            "model.embed_tokens.weight",
            [rows, hidden],
            EMBEDDING,
            Stored::Whole,
        )?;
        let layers = (0..config.layers)
            .map(|layer| Layer::new(config, &format!("model.layers.{layer}"), parameters))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            embedding,
            layers,
            norm: RmsNorm::new(parameters, "model.norm", hidden, config.rms_norm_eps)?,
            head: Linear::new(parameters, Part::Decoder, "lm_head", [hidden, rows], 0.5, Stored::Whole)?,
            rotations: rotations(config)?,
        })
    }

    /// The matrix of the head, `[V, H]`.
    pub const fn head(&self) -> &Tensor {
        self.head.weight()
    }

    /// The logits `[n, V]` of the positions that are learnt. `inputs`, `[B · L]`, are rows of the embedding or, above
    /// them, rows of `pictures`, `[m, H]`.
    pub fn forward(
        &self,
        inputs: &Tensor,
        pictures: Option<&Tensor>,
        places: &Places<'_>,
    ) -> Result<Tensor, Box<dyn Error>> {
        let table = match pictures {
            None => self.embedding.shallow_clone(),
            Some(rows) => Tensor::f_cat(&[&self.embedding, rows], 0)?,
        };
        let (batch, length) = places.positions.size2()?;
        let rotation = self.rotations.f_index_select(0, &places.positions.f_flatten(0, 1)?)?;
        let rotation = rotation.f_view([batch, length, 1, -1])?;
        let mut hidden = table.f_index_select(0, inputs)?.f_view([batch, length, -1])?;
        for (number, layer) in self.layers.iter().enumerate() {
            let mixed = layer.attended(&hidden, &rotation, places.mask)?;
            hidden = if number + 1 == self.layers.len() {
                let rows = |x: &Tensor| x.f_flatten(0, 1)?.f_index_select(0, places.learnt);
                layer.finished(&rows(&hidden)?, &rows(&mixed)?)?
            } else {
                layer.finished(&hidden, &mixed)?
            };
        }
        self.head.forward(&self.norm.forward(&hidden)?)
    }
}

impl Layer {
    fn new(config: &LlamaConfig, name: &str, parameters: &mut Parameters) -> Result<Self, Box<dyn Error>> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let mixed = config.heads * config.head_dim;
        let heads = config.heads as i64;
        let out = 1.0 / (2.0 * config.layers as f64).sqrt();
        let norm = |parameters: &mut Parameters, part: &str| {
            RmsNorm::new(parameters, &format!("{name}.{part}"), hidden, config.rms_norm_eps)
        };
        let linear = |parameters: &mut Parameters, part: &str, sizes, gain, lies| {
            Linear::new(parameters, Part::Decoder, &format!("{name}.{part}"), sizes, gain, lies)
        };
        Ok(Self {
            input_norm: norm(parameters, "input_layernorm")?,
            qkv: linear(
                parameters,
                "self_attn.qkv_proj",
                [hidden, 3 * mixed],
                1.0,
                Stored::RotatedQkv { heads },
            )?,
            output: linear(parameters, "self_attn.o_proj", [mixed, hidden], out, Stored::Whole)?,
            post_norm: norm(parameters, "post_attention_layernorm")?,
            gate_up: linear(parameters, "mlp.gate_up_proj", [hidden, 2 * inner], 1.0, Stored::GateUp)?,
            down: linear(parameters, "mlp.down_proj", [inner, hidden], out, Stored::Whole)?,
            heads,
        })
    }

    /// What attention gathers at each position, `[B, L, A · d]`, before `o_proj`.
    fn attended(&self, x: &Tensor, rotation: &Tensor, mask: &Tensor) -> Result<Tensor, Box<dyn Error>> {
        let (batch, length, _) = x.size3()?;
        let qkv = self.qkv.forward(&self.input_norm.forward(x)?)?;
        let mixed = qkv.size3()?.2 / 3;
        let width = mixed / self.heads;
        let turned = qkv
            .f_narrow(2, 0, 2 * mixed)?
            .f_view([batch, length, 2 * self.heads, width / 2, 2])?
            .f_view_as_complex()?
            .f_mul(rotation)?
            .f_view_as_real()?
            .f_view([batch, length, 2 * self.heads, width])?
            .f_transpose(1, 2)?;
        let value = qkv
            .f_narrow(2, 2 * mixed, mixed)?
            .f_view([batch, length, self.heads, width])?
            .f_transpose(1, 2)?;
        let query = turned.f_narrow(1, 0, self.heads)?;
        let key = turned.f_narrow(1, self.heads, self.heads)?;
        let found = Tensor::f_scaled_dot_product_attention(&query, &key, &value, Some(mask), 0.0, false, None, false)?;
        Ok(found.f_transpose(1, 2)?.f_reshape([batch, length, mixed])?)
    }

    /// The rest of the layer for any positions `[.., H]`.
    fn finished(&self, x: &Tensor, mixed: &Tensor) -> Result<Tensor, Box<dyn Error>> {
        let x = x.f_add(&self.output.forward(mixed)?)?;
        let both = self.gate_up.forward(&self.post_norm.forward(&x)?)?;
        let halves = both.f_chunk(2, -1)?;
        let [gate, up] = halves.as_slice() else {
            return Err("the gated MLP does not split into two".into());
        };
        Ok(x.f_add(&self.down.forward(&gate.f_silu()?.f_mul(up)?)?)?)
    }
}

fn rotations(config: &LlamaConfig) -> Result<Tensor, Box<dyn Error>> {
    let width = config.head_dim as i64;
    let exponents = Tensor::f_arange_start_step(0, width, 2, OPTIONS)?.f_div_scalar(width)?;
    let frequencies = Tensor::f_pow_scalar(config.rope_theta, &exponents)?.f_reciprocal()?;
    let angles = Tensor::f_arange(CONTEXT as i64, OPTIONS)?.f_outer(&frequencies)?;
    Ok(Tensor::f_polar(&angles.f_ones_like()?, &angles)?)
}
