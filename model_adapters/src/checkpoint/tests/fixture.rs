//! A small checkpoint in memory, to be changed by a test and then written to a temporary folder. Names and shapes
//! are written out from the pages' tables, not taken from the code under test.

mod layouts;
mod packed;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::checkpoint::{Checkpoint, CheckpointError};

pub use layouts::{llava, llava_hf, vila, vila_clip, vila_intern, vila_s2};
pub use packed::{awq, awq_hf, awq_llava};

/// A tensor to be stored; its bytes count up from a number that depends on its name.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
}

/// The tensors of one weight file.
pub type Tensors = BTreeMap<String, Tensor>;

#[derive(Debug, Clone)]
pub struct Tiny {
    /// JSON files by path in the checkpoint's folder.
    pub json: BTreeMap<String, Value>,
    /// Weight files likewise.
    pub weights: BTreeMap<String, Tensors>,
}

/// A checkpoint on disk, for as long as the test runs.
pub struct Written {
    folder: TempDir,
}

impl Written {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn open(&self) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(self.folder.path())
    }

    /// The complaint about this checkpoint, paths relative to its folder; one line, or the test fails.
    pub fn complaint(&self) -> String {
        let error = self.open().expect_err("the checkpoint should be refused").to_string();
        assert!(!error.contains('\n'), "{error}");
        let folder = self.folder.path().display().to_string();
        assert!(error.contains(&folder), "no path: {error}");
        error.replace(&format!("{folder}/"), "").replace(&folder, "FOLDER")
    }
}

fn tensor(dtype: Dtype, shape: &[usize]) -> Tensor {
    Tensor {
        dtype,
        shape: shape.to_vec(),
    }
}

/// The bytes that [`Tiny::write`] stores for `tensor` under `name`.
pub fn bytes(name: &str, tensor: &Tensor) -> Vec<u8> {
    let first = name
        .bytes()
        .fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    let length = tensor.shape.iter().product::<usize>() * tensor.dtype.bitsize() / 8;
    (0..length).map(|i| first.wrapping_add(i as u8)).collect()
}

pub fn file_of(tensors: &Tensors) -> Vec<u8> {
    let data: Vec<(&String, &Tensor, Vec<u8>)> = tensors.iter().map(|(n, t)| (n, t, bytes(n, t))).collect();
    let views = data
        .iter()
        .map(|(n, t, b)| (n.as_str(), TensorView::new(t.dtype, t.shape.clone(), b).unwrap()));
    serialize(views, None).unwrap()
}

/// A PyTorch archive of `tensors`, as `torch.save` of a plain dict lays it out.
pub fn archive_of(tensors: &Tensors) -> Vec<u8> {
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let number = |n: usize| [b"J".as_slice(), &(n as u32).to_le_bytes()].concat();
    let sizes = |sizes: &[usize]| {
        [
            b"(".to_vec(),
            sizes.iter().flat_map(|n| number(*n)).collect(),
            b"t".to_vec(),
        ]
        .concat()
    };
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut pickle = b"\x80\x02}(".to_vec();
    for (key, (name, tensor)) in tensors.iter().enumerate() {
        let class = match tensor.dtype {
            Dtype::F32 => "Float",
            Dtype::F16 => "Half",
            Dtype::BF16 => "BFloat16",
            Dtype::I64 => "Long",
            Dtype::I32 => "Int",
            Dtype::I16 => "Short",
            Dtype::BOOL => "Bool",
            other => panic!("no storage class of {other}"),
        };
        let elements: usize = tensor.shape.iter().product();
        let mut strides = vec![1; tensor.shape.len()];
        for i in (1..strides.len()).rev() {
            strides[i - 1] = strides[i] * tensor.shape[i];
        }
        pickle.extend(text(name));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(text("storage"));
        pickle.extend(format!("ctorch\n{class}Storage\n").bytes());
        pickle.extend(
            [
                text(&key.to_string()),
                text("cpu"),
                number(elements),
                b"tQ".to_vec(),
                number(0),
            ]
            .concat(),
        );
        pickle.extend([sizes(&tensor.shape), sizes(&strides), b"\x89NtR".to_vec()].concat());
        archive.start_file(format!("archive/data/{key}"), stored).unwrap();
        std::io::Write::write_all(&mut archive, &bytes(name, tensor)).unwrap();
    }
    pickle.extend(b"u.");
    archive.start_file("archive/data.pkl", stored).unwrap();
    std::io::Write::write_all(&mut archive, &pickle).unwrap();
    archive.finish().unwrap().into_inner()
}

impl Tiny {
    pub fn write(&self) -> Written {
        let written = Written {
            folder: TempDir::new().unwrap(),
        };
        for (name, value) in &self.json {
            let path = written.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value.to_string()).unwrap();
        }
        for (name, tensors) in &self.weights {
            fs::create_dir_all(written.path(name).parent().unwrap()).unwrap();
            let file = if name.ends_with(".bin") || name.ends_with(".pt") {
                archive_of(tensors)
            } else {
                file_of(tensors)
            };
            fs::write(written.path(name), file).unwrap();
        }
        written
    }

    /// The same checkpoint with its weights in PyTorch archives.
    pub fn in_archives(&self) -> Self {
        let renamed = |name: &str| {
            name.replace("model-0", "pytorch_model-0")
                .replace("/model.s", "/pytorch_model.s")
        };
        let file = |name: &String| {
            let name = if name.starts_with("model.s") {
                format!("pytorch_{name}")
            } else {
                renamed(name)
            };
            name.replace(".safetensors", ".bin")
        };
        let mut json = BTreeMap::new();
        for (name, value) in &self.json {
            let text = value.to_string();
            match name.ends_with(".safetensors.index.json") {
                true => json.insert(
                    file(name),
                    serde_json::from_str(&renamed(&text).replace(".safetensors", ".bin")).unwrap(),
                ),
                false => json.insert(name.clone(), value.clone()),
            };
        }
        Self {
            json,
            weights: self
                .weights
                .iter()
                .map(|(name, tensors)| (file(name), tensors.clone()))
                .collect(),
        }
    }

    /// The JSON file `name`, to be changed.
    pub fn config(&mut self, name: &str) -> &mut Value {
        self.json.get_mut(name).unwrap()
    }

    /// The tensors of the weight file `name`, to be changed.
    pub fn tensors(&mut self, name: &str) -> &mut Tensors {
        self.weights.get_mut(name).unwrap()
    }

    /// Splits `model.safetensors` of the sub-folder `place` (empty or with a slash) in two shards and an index.
    pub fn shard(&mut self, place: &str) {
        let whole = self.weights.remove(&format!("{place}model.safetensors")).unwrap();
        let half = whole.len() / 2;
        let mut map = serde_json::Map::new();
        let mut total = 0;
        for (i, (name, tensor)) in whole.into_iter().enumerate() {
            let shard = format!("model-0000{}-of-00002.safetensors", if i < half { 1 } else { 2 });
            total += bytes(&name, &tensor).len();
            map.insert(name.clone(), json!(shard));
            let file = self.weights.entry(format!("{place}{shard}")).or_default();
            file.insert(name, tensor);
        }
        let index = json!({"metadata": {"total_size": total}, "weight_map": map});
        self.json.insert(format!("{place}model.safetensors.index.json"), index);
    }
}

/// What a test does to a whole checkpoint.
pub type Change<'a> = &'a dyn Fn(&mut Tiny);

/// The complaint about `tiny` once `change` has been at it.
pub fn complaint(mut tiny: Tiny, change: impl FnOnce(&mut Tiny)) -> String {
    change(&mut tiny);
    tiny.write().complaint()
}
