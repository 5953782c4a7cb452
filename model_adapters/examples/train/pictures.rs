//! The pictures of the training data, preprocessed once as the checkpoint will have it and kept in one file of bytes:
//! a step then costs mathematics only.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use memmap2::Mmap;
use model_adapters::picture::{self, Preprocess, RgbPicture};

/// Preprocessed pictures, `[count, side, side, 3]` in 8 bits, memory-mapped.
#[derive(Debug)]
pub struct Pictures {
    preprocess: Preprocess,
    side: usize,
    /// `None` where there are no pictures.
    bytes: Option<Mmap>,
    rows: HashMap<String, usize>,
}

impl Pictures {
    /// Opens the cache in `folder`, or makes it, of the pictures `paths` of the data folder.
    pub fn open(
        folder: &Path,
        data: &Path,
        paths: &[&str],
        preprocess: Preprocess,
        side: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let (bytes_file, list_file) = (folder.join("pictures.u8"), folder.join("pictures.json"));
        let mut rows = HashMap::new();
        let mut listed = Vec::new();
        for &path in paths {
            if !rows.contains_key(path) {
                rows.insert(path.to_owned(), listed.len());
                listed.push(path);
            }
        }
        let list = serde_json::to_vec(&(data, preprocess.geometry.name(), side, &listed))?;
        if fs::read(&list_file).ok().as_ref() != Some(&list) {
            eprintln!("preprocessing {} pictures", listed.len());
            let mut out = BufWriter::new(File::create(&bytes_file)?);
            for path in &listed {
                let whole = data.join(path);
                let read = || -> Result<RgbPicture, Box<dyn Error>> {
                    Ok(preprocess.pixels(&picture::decode(&fs::read(&whole)?)?)?)
                };
                let pixels = read().map_err(|error| format!("`{}`: {error}", whole.display()))?;
                out.write_all(&pixels.data)?;
            }
            out.flush()?;
            fs::write(&list_file, list)?;
        }
        let file = File::open(&bytes_file)?;
        // SAFETY: the file is this program's own; nobody else is told of it.
        let bytes = if listed.is_empty() {
            None
        } else {
            Some(unsafe { Mmap::map(&file)? })
        };
        Ok(Self {
            preprocess,
            side,
            bytes,
            rows,
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// The row of a picture.
    pub fn row(&self, path: &str) -> Option<usize> {
        self.rows.get(path).copied()
    }

    /// The normalised patches of picture `row`, `[patches, 3 · p · p]`: what a patch convolution multiplies.
    pub fn patches(&self, row: usize, patch: usize) -> Result<Vec<f32>, Box<dyn Error>> {
        let size = self.side * self.side * 3;
        let bytes = self
            .bytes
            .as_ref()
            .and_then(|bytes| bytes.get(row * size..(row + 1) * size));
        let pixels = RgbPicture {
            width: self.side,
            height: self.side,
            data: bytes.ok_or("the picture cache is too short: delete it")?.to_vec(),
        };
        Ok(in_patches(&self.preprocess.normalise(&pixels), self.side, patch))
    }
}

/// Planes `[3, side, side]` to `[patches, 3 · p · p]`, patches row by row.
pub fn in_patches(planes: &[f32], side: usize, patch: usize) -> Vec<f32> {
    let across = side / patch;
    let mut patches = Vec::with_capacity(3 * across * across * patch * patch);
    for at in 0..across * across {
        let (top, left) = (at / across * patch, at % across * patch);
        for plane in planes.chunks_exact(side * side) {
            for row in plane.chunks_exact(side).skip(top).take(patch) {
                patches.extend_from_slice(&row[left..left + patch]);
            }
        }
    }
    patches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_what_a_convolution_multiplies() {
        let side = 4;
        let planes: Vec<f32> = (0..3 * side * side).map(|number| number as f32).collect();
        let patches = in_patches(&planes, side, 2);
        // The patch to the right of the first: channel by channel, row by row.
        assert_eq!(
            patches[12..24],
            [2., 3., 6., 7., 18., 19., 22., 23., 34., 35., 38., 39.]
        );
        assert_eq!(patches.len(), planes.len());
    }
}
