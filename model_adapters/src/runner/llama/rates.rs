//! How much of what this machine can do a run used: its float32 matrix rate for prefill, its read bandwidth for
//! decode steps, both measured at the model's own shapes (`--trace`).

use std::time::Instant;

use tch::Tensor;

use super::Llama;
use crate::runner::error::TorchError;
use crate::work::{Rates, Spent, Work};

/// Rows of the measured product: those of a full prefill pass.
const ROWS: i64 = 2048;
/// Repetitions, of which the fastest counts.
const TIMES: usize = 5;

impl Llama {
    /// What `work` used in the seconds `spent`; `None` where no matrix lies ready in the working dtype.
    pub fn rates(&self, work: &Work, spent: &Spent) -> Result<Option<Rates>, TorchError> {
        let _guard = tch::no_grad_guard();
        let Some(layer) = self.layers.first() else {
            return Ok(None);
        };
        let gate = &layer.mlp.gate;
        let Some(sample) = gate.ready() else {
            return Ok(None);
        };
        let (outputs, inputs) = sample.size2()?;
        let x = Tensor::f_rand([ROWS, inputs], self.placement.options())?;
        // The machine's rate is that of the fastest product at hand.
        let libtorch = fastest(|| Ok(x.f_linear(&sample, None::<&Tensor>)?))?;
        let product = fastest(|| gate.forward(&x))?.min(libtorch);
        // Every decoder matrix once, as a decode step reads them; a sum does nothing else.
        let matrices: Vec<Tensor> = self.matrices();
        let reading = fastest(|| {
            let sums: Result<Vec<Tensor>, tch::TchError> = matrices.iter().map(|matrix| matrix.f_sum(None)).collect();
            Ok(Tensor::f_stack(&sums?, 0)?)
        })?;
        let matrix_rate = (2 * ROWS * inputs * outputs) as f64 / product;
        let read_rate = self.bytes_of(self.weights_of_layers()) / reading;
        let operations = self.prefill_operations(work);
        let read = self.bytes_of(self.weights_of_layers() + self.weights_of_head()) * work.decode_steps as f64;
        Ok(Some(Rates {
            matrix: matrix_rate,
            read: read_rate,
            prefill: operations / (spent.prefill * matrix_rate).max(f64::MIN_POSITIVE),
            decode: read / (spent.steps * read_rate).max(f64::MIN_POSITIVE),
        }))
    }

    /// Of the products of prefilled positions with weights, one multiplication and one addition counting as two. The
    /// last layer has keys and values of all positions, all else of each question's last one.
    fn prefill_operations(&self, work: &Work) -> f64 {
        let layer = self.weights_of_layers() / self.layers.len().max(1) as f64;
        let config = &self.config;
        let keys_and_values = (2 * config.hidden_size * config.kv_heads * config.head_dim) as f64;
        let whole = self.weights_of_layers() - layer;
        let positions = work.prefilled as f64 * (whole + keys_and_values);
        let last = work.questions as f64 * (layer - keys_and_values + self.weights_of_head());
        2.0 * (positions + last)
    }

    fn weights_of_layers(&self) -> f64 {
        let config = &self.config;
        let attention = 2 * (config.heads + config.kv_heads) * config.head_dim * config.hidden_size;
        let mlp = 3 * config.hidden_size * config.intermediate_size;
        (config.layers * (attention + mlp)) as f64
    }

    fn weights_of_head(&self) -> f64 {
        (self.config.hidden_size * self.rows()) as f64
    }

    fn bytes_of(&self, weights: f64) -> f64 {
        weights * self.placement.dtype.bytes() as f64
    }

    /// Those of the layers that lie ready.
    fn matrices(&self) -> Vec<Tensor> {
        let linears = self.layers.iter().flat_map(|layer| {
            let (attention, mlp) = (&layer.attention, &layer.mlp);
            let [query, key, value, output] = [&attention.query, &attention.key, &attention.value, &attention.output];
            [query, key, value, output, &mlp.gate, &mlp.up, &mlp.down]
        });
        linears.filter_map(|linear| linear.ready()).collect()
    }
}

/// Seconds of the fastest of some runs of `work`, whose result is waited for.
fn fastest(work: impl Fn() -> Result<Tensor, TorchError>) -> Result<f64, TorchError> {
    let mut fastest = f64::INFINITY;
    for _ in 0..TIMES {
        let start = Instant::now();
        let result = work()?.f_flatten(0, -1)?;
        let _waited = result.f_double_value(&[0])?;
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    Ok(fastest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::llama::tests::{config, llama};

    #[test]
    fn operations_are_those_of_the_products() {
        let llama = llama(&config(2));
        // Width 32, inner 48, 3 layers, 4 heads over 2, 8 wide, 50 tokens.
        let (layer, keys_and_values) = (2 * (32 + 16) * 32 + 3 * 32 * 48, 2 * 32 * 16);
        assert_eq!(llama.weights_of_layers(), f64::from(3 * layer));
        let work = Work {
            prefilled: 100,
            questions: 4,
            decode_steps: 7,
            ..Work::default()
        };
        let positions = 100 * (2 * layer + keys_and_values);
        let last = 4 * (layer - keys_and_values + 32 * 50);
        assert_eq!(llama.prefill_operations(&work), f64::from(2 * (positions + last)));

        let spent = Spent {
            prefill: 2.0,
            steps: 0.5,
            ..Spent::default()
        };
        let rates = llama.rates(&work, &spent).unwrap().unwrap();
        assert!(rates.matrix > 0.0 && rates.read > 0.0);
        let used = f64::from(2 * (positions + last)) / 2.0;
        assert!((rates.prefill * rates.matrix / used - 1.0).abs() < 1e-9);
        let read = f64::from(7 * 4 * (3 * layer + 32 * 50)) / 0.5;
        assert!((rates.decode * rates.read / read - 1.0).abs() < 1e-9);
    }
}
