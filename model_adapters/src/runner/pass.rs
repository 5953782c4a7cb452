//! The one walk over the weight files: stretch by stretch, in the order of their bytes, what is read is hashed where that
//! is wanted, looked through for values that are not finite, and converted, while it is in memory. Nothing is read ahead
//! but what the system does by itself: asking it to (`MADV_WILLNEED`) took twice the time of not asking.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::checkpoint::{MappedFile, Module, StoredTensor};
use crate::runner::error::LoadError;
use crate::runner::loading::Keep;
use crate::runner::torch::Placement;
use crate::runner::weights::{Prepared, prepare};

/// Bytes that are in work at a time: some tensors of a large model, so that starting the threads costs nothing.
const STRETCH: usize = 1 << 26;

/// Weight files whose SHA-256 is wanted, and those that loading has found on its way.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Hashing {
    wanted: Vec<PathBuf>,
    found: Vec<(PathBuf, String)>,
}

impl Hashing {
    /// Of `wanted`, by the paths of [`crate::checkpoint::Checkpoint::weight_files`].
    pub const fn of(wanted: Vec<PathBuf>) -> Self {
        Self {
            wanted,
            found: Vec::new(),
        }
    }

    /// The files that were read to their ends, with their SHA-256 in hexadecimal; one that holds nothing that the model
    /// needs is not among them.
    pub fn found(&self) -> &[(PathBuf, String)] {
        &self.found
    }

    fn begin(&self, path: &Path) -> Option<Sha256> {
        self.wanted.iter().any(|wanted| wanted == path).then(Sha256::new)
    }

    fn end(&mut self, path: &Path, hasher: Option<Sha256>) {
        if let Some(hasher) = hasher {
            let mut text = String::new();
            for byte in hasher.finalize() {
                let _ = write!(text, "{byte:02x}");
            }
            self.found.push((path.to_owned(), text));
        }
    }
}

/// A tensor that the model will ask for.
struct Wanted<'a> {
    module: usize,
    name: &'a str,
    tensor: StoredTensor,
}

/// Reads every tensor that the forward pass needs, of each of `modules` as it is to be placed: by canonical name, in the
/// order of `modules`. Weights of four bits are only hashed.
pub(super) fn walk<const N: usize>(
    modules: [(&Module, Placement); N],
    keep: Keep,
    hashing: &mut Hashing,
) -> Result<[HashMap<String, Prepared>; N], LoadError> {
    let mut prepared = std::array::from_fn(|_| HashMap::new());
    let mut files: BTreeMap<PathBuf, Vec<Wanted<'_>>> = BTreeMap::new();
    for (number, (module, _)) in modules.iter().enumerate() {
        for (name, tensor) in module.used() {
            let wanted = Wanted {
                module: number,
                name,
                tensor,
            };
            files
                .entry(wanted.tensor.file().path().to_owned())
                .or_default()
                .push(wanted);
        }
    }
    for (path, mut tensors) in files {
        tensors.sort_by_key(|wanted| wanted.tensor.range().start);
        let Some(file) = tensors.first().map(|first| first.tensor.file().clone()) else {
            continue;
        };
        let mut hasher = hashing.begin(&path);
        let mut at = 0;
        for stretch in stretches(&tensors) {
            let end = stretch
                .iter()
                .map(|wanted| wanted.tensor.range().end)
                .max()
                .unwrap_or(at)
                .max(at);
            let bytes = file.data(&(at..end));
            let done: Result<(), LoadError> = std::thread::scope(|scope| {
                if let Some(hasher) = &mut hasher {
                    scope.spawn(move || hasher.update(bytes));
                }
                for wanted in stretch {
                    let (Some((_, placement)), Some(into)) =
                        (modules.get(wanted.module), prepared.get_mut(wanted.module))
                    else {
                        continue;
                    };
                    let ready: Prepared = prepare(&wanted.tensor.view(), *placement, keep)?;
                    into.insert(wanted.name.to_owned(), ready);
                }
                Ok(())
            });
            done?;
            if keep == Keep::Converted {
                file.forget(at..end);
            }
            at = end;
        }
        finish(&file, at, hasher.as_mut());
        hashing.end(&path, hasher);
    }
    Ok(prepared)
}

/// Hashes what lies behind the last tensor that is needed.
fn finish(file: &MappedFile, at: usize, hasher: Option<&mut Sha256>) {
    if let Some(hasher) = hasher {
        hasher.update(file.bytes().get(at..).unwrap_or_default());
        file.forget(at..file.bytes().len());
    }
}

/// Tensors in the order of the file, as many as make up [`STRETCH`] bytes at a time.
fn stretches<'a, 'b>(tensors: &'a [Wanted<'b>]) -> impl Iterator<Item = &'a [Wanted<'b>]> {
    let mut bytes = 0;
    tensors.chunk_by(move |wanted, _| {
        bytes += wanted.tensor.range().len();
        let together = bytes < STRETCH;
        if !together {
            bytes = 0;
        }
        together
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::runner::device::Device;
    use crate::runner::torch::Dtype;
    use crate::runner::weights::Weights;

    const CPU: Placement = Placement {
        device: Device::Cpu,
        dtype: Dtype::Float32,
    };

    fn fixture(name: &str) -> Checkpoint {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/checkpoints");
        Checkpoint::open(&folder.join(name)).unwrap()
    }

    fn walked(checkpoint: &Checkpoint, keep: Keep, hashing: &mut Hashing) -> [HashMap<String, Prepared>; 2] {
        let modules = [(&checkpoint.tower_tensors, CPU), (&checkpoint.llama_tensors, CPU)];
        walk(modules, keep, hashing).unwrap()
    }

    #[test]
    fn files_are_hashed_on_the_way_where_that_is_wanted() {
        for name in ["tiny-vila15", "tiny-llava-hf", "tiny-llava-v1.5"] {
            let checkpoint = fixture(name);
            let files = checkpoint.weight_files();
            let mut hashing = Hashing::of(files.clone());
            walked(&checkpoint, Keep::Converted, &mut hashing);
            let needed = |file: &&PathBuf| !file.components().any(|part| part.as_os_str() == "mm_projector");
            assert_eq!(hashing.found().len(), files.iter().filter(needed).count(), "{name}");
            for (file, sha256) in hashing.found() {
                let whole: String = Sha256::digest(std::fs::read(file).unwrap())
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                assert_eq!(*sha256, whole, "{}", file.display());
            }
            let mut none = Hashing::default();
            walked(&checkpoint, Keep::Converted, &mut none);
            assert_eq!(none, Hashing::default());
        }
    }

    #[test]
    fn what_it_makes_is_what_each_tensor_alone_becomes() {
        let checkpoint = fixture("tiny-vila15");
        let [_, mut llama] = walked(&checkpoint, Keep::Converted, &mut Hashing::default());
        let alone = Weights::of(&checkpoint.llama_tensors, CPU, Keep::Converted, HashMap::new());
        let used: Vec<_> = checkpoint.llama_tensors.used().collect();
        assert_eq!(llama.len(), used.len());
        for (name, stored) in used {
            let Some(Prepared::Converted(tensor)) = llama.remove(name) else {
                panic!("{name} is not converted");
            };
            assert_eq!(tensor, alone.tensor(name, stored.view().shape).unwrap(), "{name}");
        }
        let [_, as_stored] = walked(&checkpoint, Keep::AsStored, &mut Hashing::default());
        for (name, prepared) in as_stored {
            let stays = matches!(prepared, Prepared::Finite);
            assert_eq!(stays, !name.contains("norm"), "{name}");
        }
    }

    #[test]
    fn stretches_hold_every_tensor_once_and_end_where_they_are_full() {
        let checkpoint = fixture("tiny-vila15");
        let large = |bytes| STRETCH.div_ceil(bytes);
        let wanted: Vec<Wanted<'_>> = checkpoint
            .llama_tensors
            .used()
            .map(|(name, tensor)| Wanted {
                module: 0,
                name,
                tensor,
            })
            .collect();
        let bytes: usize = wanted.iter().map(|wanted| wanted.tensor.range().len()).sum();
        assert_eq!(stretches(&wanted).count(), 1, "{bytes} bytes");
        let many: Vec<Wanted<'_>> = (0..large(bytes) * 2)
            .flat_map(|_| checkpoint.llama_tensors.used())
            .map(|(name, tensor)| Wanted {
                module: 0,
                name,
                tensor,
            })
            .collect();
        assert!((2..=3).contains(&stretches(&many).count()));
        assert_eq!(stretches(&many).map(<[_]>::len).sum::<usize>(), many.len());
    }
}
