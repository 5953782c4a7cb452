//! Which weight files of a folder count, and the tensors in them (`checkpoints.md` section 3.1).

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::checkpoint::config::ConfigFile;
use crate::checkpoint::error::{CheckpointError, quoted};
use crate::checkpoint::mapped::Stored;
use crate::checkpoint::safetensors;

/// Files that HF `modeling_utils.py` looks for, the first that exists wins.
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const PICKLED: [&str; 2] = ["pytorch_model.bin", "pytorch_model.bin.index.json"];

/// All tensors of one folder, by their names in the files.
#[derive(Debug)]
pub(super) struct Weights {
    /// The folder.
    pub folder: PathBuf,
    /// The tensors.
    pub tensors: BTreeMap<String, Stored>,
    /// The weight files.
    pub files: Vec<PathBuf>,
    /// The index, where the weights are sharded.
    pub index: Option<PathBuf>,
}

impl Weights {
    /// Maps the weight files of `folder` and reads their headers.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let (single, index) = (folder.join(SINGLE), folder.join(INDEX));
        let mut weights = Self {
            folder: folder.to_owned(),
            tensors: BTreeMap::new(),
            files: Vec::new(),
            index: None,
        };
        if single.is_file() {
            weights.add_file(&single)?;
        } else if index.is_file() {
            weights.add_shards(&ConfigFile::read(&index)?)?;
            weights.index = Some(index);
        } else if let Some(path) = PICKLED
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.is_file())
        {
            let what = "PyTorch pickles are not supported yet: convert the weights to safetensors";
            return Err(CheckpointError::file(&path, what));
        } else {
            let quantised = if has_pt_file(folder) {
                "; `.pt` files (AWQ) are not supported yet"
            } else {
                ""
            };
            let what = format!("holds neither `{SINGLE}` nor `{INDEX}`{quantised}");
            return Err(CheckpointError::file(folder, what));
        }
        Ok(weights)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), CheckpointError> {
        for (name, stored) in safetensors::open(path)? {
            match self.tensors.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(stored);
                }
                Entry::Occupied(place) => {
                    let other = place.get().file.path().display().to_string();
                    let what = format!("tensor {} is in `{other}` too", quoted(place.key()));
                    return Err(CheckpointError::file(path, what));
                }
            }
        }
        self.files.push(path.to_owned());
        Ok(())
    }

    fn add_shards(&mut self, index: &ConfigFile) -> Result<(), CheckpointError> {
        let map = match index.required("weight_map", |file, key| Ok(file.value(key)))? {
            Value::Object(map) => map,
            other => return Err(index.wrong_type("weight_map", "an object", other)),
        };
        let mut places = Vec::with_capacity(map.len());
        for (tensor, shard) in map {
            let Some(shard) = shard.as_str().filter(|shard| is_file_name(shard)) else {
                let what = format!(
                    "puts {} in {}: not a file name in this folder",
                    quoted(tensor),
                    shard_name(shard)
                );
                return Err(index.fault_at("weight_map", what));
            };
            places.push((tensor, shard));
        }
        for shard in places.iter().map(|(_, shard)| *shard).collect::<BTreeSet<_>>() {
            self.add_file(&self.folder.join(shard))?;
        }
        for (tensor, shard) in &places {
            let found = self
                .tensors
                .get(*tensor)
                .and_then(|stored| stored.file.path().file_name());
            if found != Some(OsStr::new(shard)) {
                let what = format!("puts {} in {}, which does not hold it", quoted(tensor), quoted(shard));
                return Err(index.fault_at("weight_map", what));
            }
        }
        self.check_total_size(index, places.iter().map(|(tensor, _)| tensor.as_str()))
    }

    /// `total_size` is the sum over the tensors of the index, without container overhead.
    fn check_total_size<'a>(
        &self,
        index: &ConfigFile,
        tensors: impl Iterator<Item = &'a str>,
    ) -> Result<(), CheckpointError> {
        let Some(metadata) = index.object("metadata")? else {
            return Ok(());
        };
        let Some(total) = metadata.integer("total_size")? else {
            return Ok(());
        };
        let found: usize = tensors
            .filter_map(|name| self.tensors.get(name))
            .map(Stored::size)
            .sum();
        if usize::try_from(total).ok() != Some(found) {
            let what = format!("is {total}, the shards hold {found} bytes: index and shards are of different savings");
            return Err(metadata.fault_at("total_size", what));
        }
        Ok(())
    }
}

/// One ordinary component: neither absolute nor up or down a folder.
fn is_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(only)), None) if only == OsStr::new(name))
}

fn shard_name(shard: &Value) -> String {
    shard.as_str().map_or_else(|| quoted(&shard.to_string()), quoted)
}

fn has_pt_file(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.path().extension() == Some(OsStr::new("pt")))
}

#[cfg(test)]
mod tests {
    use super::is_file_name;

    #[test]
    fn shards_lie_in_the_folder_itself() {
        for (name, wanted) in [
            ("model-00001-of-00002.safetensors", true),
            ("..", false),
            (".", false),
            ("", false),
            ("../x", false),
            ("a/b", false),
            ("a/", false),
            ("./a", false),
            ("/etc/passwd", false),
        ] {
            assert_eq!(is_file_name(name), wanted, "{name}");
        }
    }
}
