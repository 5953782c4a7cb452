//! A PyTorch weight file, `.bin` or `.pt` (`checkpoints.md` section 3.3): a zip archive of stored entries, of which the
//! pickle is read and the storages are mapped in place.

use std::collections::{HashMap, HashSet};
use std::io::Cursor;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use zip::{CompressionMethod, ZipArchive};

use crate::checkpoint::error::{CheckpointError, quoted};
use crate::checkpoint::mapped::{MappedFile, Stored, element_size};
use crate::checkpoint::pickle::{self, PickledTensor};

/// What a zip archive begins with; files of PyTorch before 1.6 do not.
const MAGIC: &[u8] = b"PK\x03\x04";

/// Every tensor's name and place, in the order of the state dict.
pub(super) fn open(path: &Path) -> Result<Vec<(String, Stored)>, CheckpointError> {
    let file = Arc::new(MappedFile::open(path)?);
    tensors(&file).map_err(|what| CheckpointError::file(path, what))
}

fn tensors(file: &Arc<MappedFile>) -> Result<Vec<(String, Stored)>, String> {
    let bytes = file.bytes();
    if !bytes.starts_with(MAGIC) {
        return Err(
            "is no zip archive: a file of PyTorch before 1.6, truncated or no weights; if it loads in PyTorch, \
                    write it anew with `torch.save`"
                .to_owned(),
        );
    }
    let entries = entries(bytes)?;
    let root = root(&entries)?;
    if let Some(order) = entries.get(&format!("{root}byteorder"))
        && bytes.get(order.clone()) != Some(b"little")
    {
        return Err("was written on a big-endian machine: write it anew on a little-endian one".to_owned());
    }
    let pickle = entries
        .get(&format!("{root}data.pkl"))
        .and_then(|range| bytes.get(range.clone()));
    let mut names = HashSet::new();
    let mut tensors = Vec::new();
    for (name, tensor) in pickle::state_dict(pickle.unwrap_or_default())? {
        if !names.insert(name.clone()) {
            return Err(format!("holds tensor {} twice", quoted(&name)));
        }
        let storage = entries.get(&format!("{root}data/{}", tensor.storage));
        let stored = place(file, tensor, storage).map_err(|what| format!("tensor {} {what}", quoted(&name)))?;
        tensors.push((name, stored));
    }
    Ok(tensors)
}

/// Where each entry's data lie. Anything that PyTorch does not write is refused: compression, encryption, data that two
/// entries share, names that lead out of the archive.
fn entries(bytes: &[u8]) -> Result<HashMap<String, Range<usize>>, String> {
    let damaged = |what: &dyn std::fmt::Display| {
        format!("is no whole zip archive ({what}): truncated or damaged, fetch it again")
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
    if archive.has_overlapping_entries().map_err(|error| damaged(&error))? {
        return Err("has zip entries that overlap".to_owned());
    }
    if archive.has_duplicate_names() {
        return Err("has two zip entries of one name".to_owned());
    }
    if archive.file_names_raw().any(|name| name.ends_with(b"/constants.pkl")) {
        return Err("is a TorchScript program, not weights: save its `state_dict()`".to_owned());
    }
    let mut entries = HashMap::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| damaged(&error))?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if name.starts_with('/') || name.contains(['\\', '\0']) || name.split('/').any(|part| part == "..") {
            return Err(format!(
                "has a zip entry {}, which leads out of the archive",
                quoted(&name)
            ));
        }
        if entry.encrypted()
            || entry.compression() != CompressionMethod::Stored
            || entry.size() != entry.compressed_size()
        {
            return Err(format!(
                "has a compressed or encrypted zip entry {}: `torch.save` only stores",
                quoted(&name)
            ));
        }
        let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
        let size = usize::try_from(entry.size()).ok();
        let range = start
            .zip(size)
            .and_then(|(start, size)| Some(start..start.checked_add(size)?));
        let range = range.filter(|range| range.end <= bytes.len());
        let range = range.ok_or_else(|| damaged(&quoted(&name)))?;
        entries.insert(name, range);
    }
    Ok(entries)
}

/// The one folder that holds `data.pkl`, with its slash.
fn root(entries: &HashMap<String, Range<usize>>) -> Result<String, String> {
    let roots: Vec<&str> = entries
        .keys()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .filter(|root| root.matches('/').count() == 1 && root.ends_with('/'))
        .collect();
    match roots.as_slice() {
        [root] => Ok((*root).to_owned()),
        [] => Err("holds no `data.pkl`: a zip archive, but not one of PyTorch's".to_owned()),
        _ => Err("holds more than one `data.pkl`".to_owned()),
    }
}

/// Where `tensor` lies in its storage; a clause about it where it does not.
fn place(file: &Arc<MappedFile>, tensor: PickledTensor<'_>, storage: Option<&Range<usize>>) -> Result<Stored, String> {
    let PickledTensor {
        dtype,
        shape,
        strides,
        offset,
        storage_elements,
        storage: key,
    } = tensor;
    let storage = storage.ok_or_else(|| format!("needs storage {}, which the archive lacks", quoted(key)))?;
    let size = element_size(dtype);
    if storage_elements.checked_mul(size) != Some(storage.len()) {
        return Err(format!(
            "lies in a storage of {} bytes that should have {storage_elements} elements of {size}",
            storage.len()
        ));
    }
    if strides.len() != shape.len() {
        return Err(format!("has {} sizes and {} strides", shape.len(), strides.len()));
    }
    let elements = shape
        .iter()
        .try_fold(1_usize, |product, side| product.checked_mul(*side));
    let span = if elements == Some(0) {
        Some(0)
    } else {
        let steps = shape.iter().zip(&strides);
        steps
            .map(|(side, stride)| (side - 1).checked_mul(*stride))
            .try_fold(1_usize, |sum, step| sum.checked_add(step?))
    };
    // A view that repeats elements (stride 0) is no weight, and would let a small file ask for any amount of memory.
    let inside = elements.is_some_and(|elements| elements <= storage_elements);
    let end = span
        .and_then(|span| offset.checked_add(span))
        .filter(|end| inside && *end <= storage_elements);
    let Some(end) = end else {
        return Err(format!(
            "of shape {shape:?} and strides {strides:?} from element {offset} reaches beyond its storage of \
             {storage_elements} elements"
        ));
    };
    let range = storage.start + offset * size..storage.start + end * size;
    let strides = (!is_row_major(&shape, &strides)).then_some(strides);
    Ok(Stored {
        file: Arc::clone(file),
        dtype,
        shape,
        range,
        strides,
    })
}

/// Whether the elements follow each other; the stride of a single row says nothing, nor do those of no elements.
fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut step = 1;
    shape.contains(&0)
        || shape.iter().zip(strides).rev().all(|(side, stride)| {
            let expected = step;
            step *= side;
            *side == 1 || *stride == expected
        })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use proptest::prelude::*;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::checkpoint::safetensors;

    /// A file that `tests/oracle/archives.py` made.
    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/archives")
            .join(name)
    }

    fn contents(stored: &Stored) -> Vec<u8> {
        match &stored.strides {
            None => stored.file.data(&stored.range).to_vec(),
            Some(strides) => stored.gathered(strides),
        }
    }

    #[test]
    fn every_tensor_that_torch_saved_is_read() {
        let found: HashMap<String, Stored> = open(&fixture("good.bin")).unwrap().into_iter().collect();
        let wanted = safetensors::open(&fixture("good.safetensors")).unwrap();
        assert_eq!(found.len(), wanted.len());
        for (name, wanted) in wanted {
            let found = &found[&name];
            assert_eq!((found.dtype, &found.shape), (wanted.dtype, &wanted.shape), "{name}");
            assert_eq!(contents(found), contents(&wanted), "{name}");
        }
        let strided: Vec<&str> = ["column", "strided", "transposed"].to_vec();
        let mut with_strides: Vec<&str> = found
            .iter()
            .filter(|(_, stored)| stored.strides.is_some())
            .map(|(name, _)| name.as_str())
            .collect();
        with_strides.sort_unstable();
        assert_eq!(with_strides, strided, "all others lie in the map as they are");
    }

    fn complaint(path: &Path) -> String {
        let error = open(path).unwrap_err().to_string();
        error
            .strip_prefix(&format!("`{}`: ", path.display()))
            .unwrap_or(&error)
            .to_owned()
    }

    #[test]
    fn files_that_torch_wrote_and_that_are_refused() {
        let cases = [
            (
                "legacy.bin",
                "is no zip archive: a file of PyTorch before 1.6, truncated or no weights",
            ),
            (
                "hostile.bin",
                "its pickle names `posix.system`: only tensors are read and nothing is executed",
            ),
            ("list.bin", "its pickle holds no dict of tensors"),
            ("nested.bin", "`model` is no tensor"),
            ("program.pt", "is a TorchScript program, not weights"),
            ("compressed.bin", "has a compressed or encrypted zip entry `good/"),
            ("big-endian.bin", "was written on a big-endian machine"),
        ];
        for (name, wanted) in cases {
            let complaint = complaint(&fixture(name));
            assert!(complaint.starts_with(wanted), "{name}: {complaint}");
        }
    }

    /// An archive of these entries, as it is and with `change` made to its bytes.
    fn written(entries: &[(&str, &[u8])], change: impl FnOnce(&mut Vec<u8>)) -> tempfile::NamedTempFile {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        let mut bytes = writer.finish().unwrap().into_inner();
        change(&mut bytes);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    }

    /// The pickle of `{"a": tensor}`: float32 of this many elements in storage 0, offset, shape and strides of bytes.
    fn pickle(elements: u8, offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
        let tuple = |items: &[u8]| {
            let items: Vec<u8> = items.iter().flat_map(|item| [b'K', *item]).collect();
            [b"(".as_slice(), &items, b"t"].concat()
        };
        [
            b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n(".as_slice(),
            b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK",
            &[elements],
            b"tQK",
            &[offset],
            &tuple(shape),
            &tuple(strides),
            b"\x89NtRs.",
        ]
        .concat()
    }

    #[test]
    fn storages_that_do_not_hold_their_tensor() {
        let beyond = "reaches beyond its storage of 6 elements";
        let cases: [(Vec<u8>, usize, &str); 9] = [
            (pickle(6, 1, &[2, 3], &[3, 1]), 24, beyond),
            (pickle(6, 0, &[2, 3], &[4, 1]), 24, beyond),
            (pickle(6, 255, &[1], &[1]), 24, beyond),
            (
                pickle(6, 0, &[255, 255, 255, 255, 255, 255, 255, 255], &[0; 8]),
                24,
                beyond,
            ),
            (pickle(6, 0, &[200], &[0]), 24, beyond),
            (pickle(6, 0, &[255; 8], &[255; 8]), 24, beyond),
            (pickle(6, 0, &[2, 3], &[1]), 24, "has 2 sizes and 1 strides"),
            (
                pickle(6, 0, &[2, 3], &[3, 1]),
                23,
                "lies in a storage of 23 bytes that should have 6 elements of 4",
            ),
            (
                pickle(6, 0, &[1; 9], &[1; 9]),
                24,
                "its pickle has a tensor of 9 dimensions",
            ),
        ];
        for (pickle, storage, wanted) in cases {
            let file = written(&[("x/data.pkl", &pickle), ("x/data/0", &vec![0; storage])], |_| {});
            let complaint = complaint(file.path());
            assert!(complaint.ends_with(wanted), "{complaint}\nwanted {wanted}");
        }
        let good = pickle(6, 0, &[2, 3], &[3, 1]);
        let file = written(&[("x/data.pkl", &good)], |_| {});
        assert_eq!(
            complaint(file.path()),
            "tensor `a` needs storage `0`, which the archive lacks"
        );
        let file = written(&[("x/data.pkl", &good), ("x/data/0", &[0; 24])], |_| {});
        assert_eq!(open(file.path()).unwrap().len(), 1);
    }

    #[test]
    fn archives_that_are_none_of_pytorchs() {
        let good = pickle(6, 0, &[2, 3], &[3, 1]);
        let whole = [("x/data.pkl", good.as_slice()), ("x/data/0", &[0; 24])];
        type Change = fn(&mut Vec<u8>);
        type Entries<'a> = &'a [(&'a str, &'a [u8])];
        let nothing: Change = |_| {};
        let cases: [(Entries<'_>, Change, &str); 9] = [
            (
                &whole[1..],
                nothing,
                "holds no `data.pkl`: a zip archive, but not one of PyTorch's",
            ),
            (&[("data.pkl", b".")], nothing, "holds no `data.pkl`"),
            (
                &[("x/data.pkl", b"."), ("y/data.pkl", b".")],
                nothing,
                "holds more than one `data.pkl`",
            ),
            (
                &[("x/data.pkl", b"."), ("../data/0", b".")],
                nothing,
                "has a zip entry `../data/0`, which leads out",
            ),
            (
                &[("x/data.pkl", b"."), ("/etc/passwd", b".")],
                nothing,
                "has a zip entry `/etc/passwd`, which leads out",
            ),
            (
                &[("x/data.pkl", b"."), ("x\\0", b".")],
                nothing,
                "has a zip entry `x\\0`, which leads out",
            ),
            (
                &whole,
                |bytes| bytes.truncate(bytes.len() - 30),
                "is no whole zip archive (",
            ),
            (&whole, |bytes| drop(bytes.drain(60..70)), "is no whole zip archive ("),
            (
                &whole,
                |bytes| second_entry_at_the_first(bytes),
                "has zip entries that overlap",
            ),
        ];
        for (entries, change, wanted) in cases {
            let file = written(entries, change);
            let complaint = complaint(file.path());
            assert!(complaint.starts_with(wanted), "{complaint}\nwanted {wanted}");
        }
        let file = written(&[], |bytes| bytes.clear());
        assert!(
            complaint(file.path()).contains("is no zip archive"),
            "{}",
            complaint(file.path())
        );
    }

    /// Lets the central directory's second entry point to the first one's header.
    fn second_entry_at_the_first(bytes: &mut [u8]) {
        let second = bytes.windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
        bytes[second + 42..second + 46].copy_from_slice(&[0; 4]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Whatever is damaged, reading ends in tensors that lie in the file or in one line about it.
        #[test]
        fn no_damage_makes_it_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = fs::read(fixture("good.bin")).unwrap();
            for (place, byte) in damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), bytes).unwrap();
            match open(file.path()) {
                Ok(tensors) => for (name, stored) in tensors {
                    prop_assert_eq!(contents(&stored).len(), stored.size(), "{}", name);
                },
                Err(error) => prop_assert!(!error.to_string().contains('\n')),
            }
        }
    }
}
