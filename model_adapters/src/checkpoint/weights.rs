//! Which weight files of a folder count, and the tensors in them (`checkpoints.md` section 3.1).

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::checkpoint::archive;
use crate::checkpoint::config::ConfigFile;
use crate::checkpoint::error::{CheckpointError, quoted};
use crate::checkpoint::mapped::Stored;
use crate::checkpoint::safetensors;

/// Files that HF `modeling_utils.py` looks for; the first that exists wins.
pub(super) const CONTAINERS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

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
    /// Maps the weight files of `folder` and reads their headers. Where it has none of [`CONTAINERS`] but one `.pt`
    /// file, that one is taken: a quantised model (`checkpoints.md` section 10).
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let mut weights = Self::none(folder);
        let found = CONTAINERS
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.is_file());
        match found {
            Some(path) if path.extension() == Some(OsStr::new("json")) => {
                weights.add_shards(&ConfigFile::read(&path)?)?;
                weights.index = Some(path);
            }
            Some(path) => weights.add_file(&path)?,
            None => {
                let [first, others @ ..] = &pt_files(folder)[..] else {
                    let names = CONTAINERS.map(quoted).join(", ");
                    return Err(CheckpointError::file(
                        folder,
                        format!("holds no weights: none of {names}, no `*.pt`"),
                    ));
                };
                if let Some(second) = others.first() {
                    let (first, second) = (first.display(), second.display());
                    let what = format!("holds several `.pt` files, `{first}` and `{second}`: keep one");
                    return Err(CheckpointError::file(folder, what));
                }
                weights.add_file(first)?;
                if !weights.tensors.keys().any(|name| name.ends_with(".qweight")) {
                    let what = "is the only weight file and holds no quantised tensors: name it `pytorch_model.bin` if \
                                it is the whole model";
                    return Err(CheckpointError::file(first, what));
                }
            }
        }
        Ok(weights)
    }

    /// The same where there may be none.
    pub fn open_if_any(folder: &Path) -> Result<Self, CheckpointError> {
        let any = CONTAINERS.iter().any(|name| folder.join(name).is_file()) || !pt_files(folder).is_empty();
        if any {
            Self::open(folder)
        } else {
            Ok(Self::none(folder))
        }
    }

    fn none(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            tensors: BTreeMap::new(),
            files: Vec::new(),
            index: None,
        }
    }

    fn add_file(&mut self, path: &Path) -> Result<(), CheckpointError> {
        let tensors = match path.extension().and_then(OsStr::to_str) {
            Some("bin" | "pt") => archive::open(path)?,
            _ => safetensors::open(path)?,
        };
        for (name, stored) in tensors {
            match self.tensors.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(stored);
                }
                Entry::Occupied(place) => {
                    let other = place.get().file.path().display().to_string();
                    let what = format!(
                        "tensor {} is in `{other}` too: fetch the checkpoint again",
                        quoted(place.key())
                    );
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
                    "puts {} in {}: not a file name in this folder, fetch the index again",
                    quoted(tensor),
                    shard_name(shard)
                );
                return Err(index.fault_at("weight_map", what));
            };
            places.push((tensor, shard));
        }
        for shard in places.iter().map(|(_, shard)| *shard).collect::<BTreeSet<_>>() {
            let path = self.folder.join(shard);
            if !path.exists() {
                let what = format!("names the shard {}, which is not there: fetch it", quoted(shard));
                return Err(index.fault_at("weight_map", what));
            }
            self.add_file(&path)?;
        }
        for (tensor, shard) in &places {
            let found = self
                .tensors
                .get(*tensor)
                .and_then(|stored| stored.file.path().file_name());
            if found != Some(OsStr::new(shard)) {
                let what = format!(
                    "puts {} in {}, which does not hold it: index and shards are of different savings, fetch the \
                     checkpoint again",
                    quoted(tensor),
                    quoted(shard)
                );
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
            let what = format!(
                "is {total}, the shards hold {found} bytes: index and shards are of different savings, fetch the \
                 checkpoint again"
            );
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

/// The `.pt` files of `folder`, by name.
pub(super) fn pt_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new("pt")))
        .collect();
    files.sort();
    files
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
