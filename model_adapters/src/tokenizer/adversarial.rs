//! Thousands of texts built to break a tokenizer, drawn anew here as `tests/oracle/tokenizer_adversarial.py` draws them,
//! beside the digests of what transformers and the sentencepiece library make of them.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::tokenizer::oracle::{fixture, open};

#[derive(Deserialize)]
struct Adversarial {
    count: usize,
    seed: u64,
    longest: u64,
    atoms: Vec<String>,
    ranges: Vec<(u32, u32)>,
    /// The first texts, so that a generator that went astray is told from a tokenizer that did.
    first: Vec<String>,
    /// By tokenizer, four hexadecimal digits a text.
    digests: BTreeMap<String, String>,
}

/// The script's linear congruential generator.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let place = self.below(items.len() as u64);
        &items[place as usize]
    }
}

impl Adversarial {
    fn read() -> Self {
        serde_json::from_slice(&fs::read(fixture("adversarial.json")).unwrap()).unwrap()
    }

    fn texts(&self) -> Vec<String> {
        let mut draw = Draw(self.seed);
        (0..self.count)
            .map(|_| {
                let items = 1 + draw.below(self.longest);
                (0..items).map(|_| self.item(&mut draw)).collect()
            })
            .collect()
    }

    /// A single letter of any plane, or an atom, now and then repeated.
    fn item(&self, draw: &mut Draw) -> String {
        match draw.below(16) {
            0..4 => {
                let (low, high) = *draw.of(&self.ranges);
                let letter = low + draw.below(u64::from(high - low)) as u32;
                char::from_u32(letter).unwrap().to_string()
            }
            4 => draw.of(&self.atoms).repeat(2 + draw.below(20) as usize),
            _ => draw.of(&self.atoms).clone(),
        }
    }
}

fn digest(ids: &[u32], decoded: &str) -> String {
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    let hash = Sha256::digest(format!("{}\n{decoded}", ids.join(" ")));
    format!("{:02x}{:02x}", hash[0], hash[1])
}

/// Llama-3 with and without a begin token, Yi and Vicuna with `legacy` either way, added tokens that strip, llava-hf.
#[test]
fn adversarial_texts_have_the_ids_and_the_decoded_text_of_the_references() {
    let adversarial = Adversarial::read();
    let texts = adversarial.texts();
    assert!(texts.len() >= 5_000 && adversarial.digests.len() == 8);
    assert_eq!(texts[..adversarial.first.len()], adversarial.first);
    let mut differ = Vec::new();
    for (name, digests) in &adversarial.digests {
        let tokenizer = open(name);
        assert_eq!(digests.len(), 4 * texts.len(), "{name}");
        for (number, text) in texts.iter().enumerate() {
            let ids = tokenizer.encode(text).unwrap();
            let decoded = tokenizer.decode(&ids).unwrap();
            if digest(&ids, &decoded) != digests[4 * number..4 * number + 4] {
                differ.push(format!("{name}, text {number}, {text:?}: {ids:?} {decoded:?}"));
            }
        }
    }
    let shown = differ.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
    let count = differ.len();
    assert!(
        differ.is_empty(),
        "{count} differ (`tokenizer_adversarial.py --show N` prints the reference's):\n{shown}"
    );
}
