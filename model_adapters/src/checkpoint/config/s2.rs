//! The scales at which S2 shows a picture to the vision tower (`architecture.md` section 3.1, `checkpoints.md`
//! section 6.2).

use crate::checkpoint::config::file::ConfigFile;
use crate::checkpoint::error::CheckpointError;

/// Scales in one checkpoint above this are refused; the published one has two.
const MOST_SCALES: usize = 8;
/// Tiles along one side of a scale above this are refused.
const MOST_TILES: usize = 16;

/// Scales and the tiles that each is cut into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S2Scales {
    /// Sides of the square pictures, in pixels: ascending, multiples of `tile`, at least one.
    scales: Vec<usize>,
    /// Side of a tile: what the tower takes.
    tile: usize,
}

impl S2Scales {
    /// `s2`, `s2_scales` and `s2_max_split_size` of the top `config.json`; `None` where `s2` is off, whatever the
    /// others hold, since they hold a default there. `tile` is the tower's own picture size.
    pub(in crate::checkpoint) fn read(config: &ConfigFile, tile: usize) -> Result<Option<Self>, CheckpointError> {
        if config.flag("s2")? != Some(true) {
            return Ok(None);
        }
        let split = config.required("s2_max_split_size", ConfigFile::size)?;
        if split != tile {
            let what = format!("is {split}: the vision tower takes tiles of {tile}");
            return Err(config.fault_at("s2_max_split_size", what));
        }
        let key = "s2_scales";
        let text = config.required(key, ConfigFile::string)?;
        let numbers: Option<Vec<usize>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
        let Some(mut scales) = numbers.filter(|scales| scales.len() <= MOST_SCALES) else {
            return Err(config.refused(key, text, "must be numbers of pixels with commas between"));
        };
        if scales
            .iter()
            .any(|scale| *scale == 0 || !scale.is_multiple_of(tile) || scale / tile > MOST_TILES)
        {
            let wanted = format!("every scale must be 1 to {MOST_TILES} tiles of `s2_max_split_size`, {tile}");
            return Err(config.refused(key, text, &wanted));
        }
        scales.sort_unstable();
        Ok(Some(Self { scales, tile }))
    }

    /// Of known sides.
    #[cfg(test)]
    pub(crate) fn of(scales: &[usize], tile: usize) -> Self {
        Self {
            scales: scales.to_vec(),
            tile,
        }
    }

    /// Sides in pixels, ascending.
    pub fn sides(&self) -> &[usize] {
        &self.scales
    }

    /// Side of the picture that the scales are made from: the largest.
    pub fn input_size(&self) -> usize {
        self.scales.last().copied().unwrap_or(self.tile)
    }

    /// Side of a tile in pixels.
    pub const fn tile(&self) -> usize {
        self.tile
    }

    /// Tiles along one side of the smallest scale, whose grid all the others are brought to.
    pub fn smallest_split(&self) -> usize {
        self.scales.first().map_or(1, |scale| scale / self.tile)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(keys: Value) -> Result<Option<S2Scales>, String> {
        S2Scales::read(&ConfigFile::of(keys), 384).map_err(|error| error.to_string())
    }

    #[test]
    fn scales_are_read_where_s2_is_on() {
        let default = json!({"s2": false, "s2_scales": "336,672,1008", "s2_max_split_size": 336});
        assert_eq!(read(default), Ok(None));
        assert_eq!(read(json!({})), Ok(None));
        let on = json!({"s2": true, "s2_scales": "768,384", "s2_max_split_size": 384});
        let scales = read(on).unwrap().unwrap();
        assert_eq!(scales, S2Scales::of(&[384, 768], 384));
        assert_eq!((scales.input_size(), scales.smallest_split()), (768, 1));
    }

    #[test]
    fn scales_that_cannot_be_cut_are_refused() {
        let fit = "every scale must be 1 to 16 tiles of `s2_max_split_size`, 384";
        let cases = [
            ("384,700", 384, format!("`s2_scales` is `384,700`: {fit}")),
            ("0,384", 384, format!("`s2_scales` is `0,384`: {fit}")),
            ("384,38400", 384, format!("`s2_scales` is `384,38400`: {fit}")),
            (
                "384;768",
                384,
                "`s2_scales` is `384;768`: must be numbers of pixels with commas between".to_owned(),
            ),
            (
                "336,672",
                336,
                "`s2_max_split_size` is 336: the vision tower takes tiles of 384".to_owned(),
            ),
        ];
        for (scales, split, wanted) in cases {
            let keys = json!({"s2": true, "s2_scales": scales, "s2_max_split_size": split});
            assert_eq!(read(keys), Err(format!("`config.json`: {wanted}")));
        }
    }
}
