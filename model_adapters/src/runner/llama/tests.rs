//! The decoder against an eager one written from the formulas, on small random weights.

use super::*;
use crate::runner::attention::join_heads;
use crate::runner::device::Device;
use crate::runner::torch::Dtype;

const CPU: Placement = Placement {
    device: Device::Cpu,
    dtype: Dtype::Float32,
};

/// A small decoder.
pub fn config(kv_heads: usize) -> LlamaConfig {
    LlamaConfig {
        hidden_size: 32,
        intermediate_size: 48,
        layers: 3,
        heads: 4,
        kv_heads,
        head_dim: 8,
        vocabulary: 50,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_divisor: 1.0,
        tied_embeddings: false,
        max_spliced_length: None,
    }
}

fn shape(config: &LlamaConfig, name: &str) -> Vec<i64> {
    let (hidden, inner) = (config.hidden_size as i64, config.intermediate_size as i64);
    let keys = (config.kv_heads * config.head_dim) as i64;
    let part = name.rsplit('.').nth(1).unwrap();
    match part {
        "embed_tokens" | "lm_head" => vec![config.vocabulary as i64, hidden],
        "q_proj" | "o_proj" => vec![hidden, hidden],
        "k_proj" | "v_proj" => vec![keys, hidden],
        "gate_proj" | "up_proj" => vec![inner, hidden],
        "down_proj" => vec![hidden, inner],
        _ => vec![hidden],
    }
}

/// Its weights.
pub fn weights(config: &LlamaConfig) -> Weights<'static> {
    let config = config.clone();
    Weights::random(CPU, move |name| shape(&config, name))
}

/// The two together.
pub fn llama(config: &LlamaConfig) -> Llama {
    Llama::load(config, config.vocabulary, &weights(config), CPU).unwrap()
}

fn prompt(llama: &Llama, ids: &[i64]) -> Tensor {
    llama.embed_ids(ids).unwrap()
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    f64::try_from((a - b).abs().max()).unwrap()
}

/// Softmax over explicit scores with an explicit mask, key/value heads repeated in memory.
fn eager_attention(query: &Tensor, keys: &Tensor, values: &Tensor) -> Tensor {
    let (_, heads, count, width) = query.size4().unwrap();
    let (_, kv_heads, total, _) = keys.size4().unwrap();
    let repeat = |x: &Tensor| x.repeat_interleave_self_int(heads / kv_heads, 1, None);
    let scores = query.matmul(&repeat(keys).transpose(2, 3)) / (width as f64).sqrt();
    let hidden = Tensor::ones([count, total], (Kind::Bool, tch::Device::Cpu))
        .tril(total - count)
        .logical_not();
    scores
        .masked_fill(&hidden, f64::NEG_INFINITY)
        .softmax(-1, Kind::Float)
        .matmul(&repeat(values))
}

/// One position's logits by the formulas of sections 6.1 to 6.4, all positions at once, no cache.
fn eager_logits(config: &LlamaConfig, ids: &[i64]) -> Tensor {
    let weights = weights(config);
    let get = |name: &str| {
        let shape: Vec<usize> = shape(config, name).iter().map(|&side| side as usize).collect();
        weights.tensor(name, &shape).unwrap()
    };
    let norm = |x: &Tensor, name: &str| {
        let mean = x.square().mean_dim([-1_i64].as_slice(), true, Kind::Float);
        x * (mean + config.rms_norm_eps).rsqrt() * get(name)
    };
    let (count, width) = (ids.len() as i64, config.head_dim as i64);
    let rotate = |x: &Tensor| {
        let mut rows = Vec::new();
        for position in 0..count {
            let row = x.select(2, position);
            let out = row.copy();
            for i in 0..width / 2 {
                let angle = position as f64 / config.rope_theta.powf(2.0 * i as f64 / width as f64);
                let (a, b) = (row.select(-1, i), row.select(-1, i + width / 2));
                out.select(-1, i).copy_(&(&a * angle.cos() - &b * angle.sin()));
                out.select(-1, i + width / 2)
                    .copy_(&(&b * angle.cos() + &a * angle.sin()));
            }
            rows.push(out.shallow_clone());
        }
        Tensor::stack(&rows, 2)
    };
    let mut hidden = get("model.embed_tokens.weight").index_select(0, &Tensor::from_slice(ids));
    for layer in 0..config.layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let x = norm(&hidden, &name("input_layernorm"));
        let heads = |part: &str, heads: usize| {
            x.matmul(&get(&name(part)).tr())
                .view([1, count, heads as i64, width])
                .transpose(1, 2)
        };
        let query = rotate(&heads("self_attn.q_proj", config.heads));
        let keys = rotate(&heads("self_attn.k_proj", config.kv_heads));
        let mixed = eager_attention(&query, &keys, &heads("self_attn.v_proj", config.kv_heads));
        let joined = mixed.transpose(1, 2).reshape([count, config.hidden_size as i64]);
        hidden = &hidden + joined.matmul(&get(&name("self_attn.o_proj")).tr());
        let x = norm(&hidden, &name("post_attention_layernorm"));
        let gate = x.matmul(&get(&name("mlp.gate_proj")).tr());
        let gated = &gate * gate.sigmoid() * x.matmul(&get(&name("mlp.up_proj")).tr());
        hidden = &hidden + gated.matmul(&get(&name("mlp.down_proj")).tr());
    }
    norm(&hidden.get(count - 1), "model.norm.weight").matmul(&get("lm_head.weight").tr())
}

const IDS: [i64; 9] = [1, 17, 42, 3, 3, 29, 8, 49, 0];

#[test]
fn a_prefill_equals_the_eager_decoder() {
    for kv_heads in [4, 2, 1] {
        let config = config(kv_heads);
        let llama = llama(&config);
        let mut cache = llama.cache(IDS.len()).unwrap();
        let logits = llama.forward(&prompt(&llama, &IDS), &mut cache).unwrap();
        assert_eq!(logits.size(), [50]);
        assert_eq!(cache.length(), IDS.len());
        let eager = eager_logits(&config, &IDS);
        let spread = f64::try_from(eager.abs().max()).unwrap();
        assert!(spread > 0.1, "logits near zero would prove nothing: {spread}");
        assert!(
            distance(&logits, &eager) < 1e-5 * spread.max(1.0),
            "{kv_heads} key/value heads"
        );
    }
}

#[test]
fn decoding_over_the_cache_equals_one_prefill() {
    for kv_heads in [4, 2] {
        let llama = llama(&config(kv_heads));
        for split in 1..IDS.len() {
            let mut stepwise = llama.cache(64).unwrap();
            let mut logits = llama.forward(&prompt(&llama, &IDS[..split]), &mut stepwise).unwrap();
            for id in &IDS[split..] {
                logits = llama.forward(&prompt(&llama, &[*id]), &mut stepwise).unwrap();
            }
            let mut at_once = llama.cache(IDS.len()).unwrap();
            let whole = llama.forward(&prompt(&llama, &IDS), &mut at_once).unwrap();
            assert!(distance(&logits, &whole) < 1e-5, "split after {split}");
            assert_eq!(logits.argmax(-1, false), whole.argmax(-1, false));
        }
    }
}

#[test]
fn a_prefill_in_two_parts_equals_one() {
    let llama = llama(&config(2));
    let mut cache = llama.cache(16).unwrap();
    let _first = llama.forward(&prompt(&llama, &IDS[..4]), &mut cache).unwrap();
    let parts = llama.forward(&prompt(&llama, &IDS[4..]), &mut cache).unwrap();
    cache.clear();
    let whole = llama.forward(&prompt(&llama, &IDS), &mut cache).unwrap();
    assert!(distance(&parts, &whole) < 1e-5);
}

#[test]
fn a_cleared_cache_remembers_nothing() {
    let llama = llama(&config(4));
    let mut cache = llama.cache(32).unwrap();
    let fresh = llama.forward(&prompt(&llama, &[5, 6, 7]), &mut cache).unwrap();
    let _next = llama.forward(&prompt(&llama, &[9]), &mut cache).unwrap();
    cache.clear();
    assert_eq!(llama.forward(&prompt(&llama, &[5, 6, 7]), &mut cache).unwrap(), fresh);
}

#[test]
fn a_full_cache_is_an_error_not_a_panic() {
    let llama = llama(&config(4));
    let mut cache = llama.cache(2).unwrap();
    assert!(llama.forward(&prompt(&llama, &[5, 6, 7]), &mut cache).is_err());
}

#[test]
fn grouped_heads_equal_repeated_ones_in_half_precision() {
    let random = |heads: i64, seed: f64| {
        let count = heads * 6 * 8;
        (Tensor::arange(count, (Kind::Float, tch::Device::Cpu)) * seed)
            .sin()
            .view([1, heads, 6, 8])
    };
    let (query, keys, values) = (random(4, 1.3), random(2, 0.7), random(2, 2.1));
    let fused = attend(&query, &keys, &values, &Visible::Causal).unwrap();
    let eager = join_heads(&eager_attention(&query, &keys, &values)).unwrap();
    assert!(distance(&fused, &eager) < 1e-6);

    let half = |x: &Tensor| x.to_kind(Kind::Half);
    let repeat = |x: &Tensor| half(x).repeat_interleave_self_int(2, 1, None);
    let grouped = attend(&half(&query), &half(&keys), &half(&values), &Visible::Causal).unwrap();
    let repeated = attend(&half(&query), &repeat(&keys), &repeat(&values), &Visible::Causal).unwrap();
    assert_eq!(grouped, repeated);
}

#[test]
fn a_cut_vocabulary_loses_its_last_rows() {
    let config = config(4);
    let whole = llama(&config);
    let cut = Llama::load(&config, 40, &weights(&config), CPU).unwrap();
    assert_eq!((whole.rows(), cut.rows()), (50, 40));
    let run = |llama: &Llama| {
        let mut cache = llama.cache(8).unwrap();
        llama.forward(&prompt(llama, &[1, 2, 3]), &mut cache).unwrap()
    };
    assert!(distance(&run(&whole).narrow(0, 0, 40), &run(&cut)) < 1e-6);
    assert_eq!(run(&cut).size(), [40]);
    assert_eq!(
        Llama::load(&config, 51, &weights(&config), CPU)
            .unwrap_err()
            .to_string(),
        "the embedding has 50 rows, too few for 51 tokens"
    );
}

#[test]
fn a_tied_head_is_the_embedding() {
    let tied = LlamaConfig {
        tied_embeddings: true,
        ..config(4)
    };
    let read = weights(&tied);
    let llama = Llama::load(&tied, tied.vocabulary, &read, CPU).unwrap();
    assert_eq!(
        llama
            .lm_head
            .forward(&Tensor::eye(32, (Kind::Float, tch::Device::Cpu)))
            .unwrap(),
        llama
            .embedding
            .rows(&Tensor::arange(50, (Kind::Int64, tch::Device::Cpu)))
            .unwrap()
            .tr()
    );
}
