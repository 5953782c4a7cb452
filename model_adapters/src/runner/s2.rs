//! S2, scaling on scales (`architecture.md` section 3.1; `s2wrapper/core.py`): the picture at several sizes, each cut
//! into tiles of the tower's own size, the tower's maps put together again and joined channel by channel.

use tch::{Kind, Tensor};

use crate::checkpoint::S2Scales;
use crate::runner::error::TorchError;

/// Tiles that go through the tower at once, so that memory does not grow with the scale.
const TILES_AT_ONCE: i64 = 4;

/// Pixels `[B, 3, side, side]` of the largest scale to `[B, T, scales · width]`, smallest scale first, on the grid of
/// the smallest. `tower` maps tiles `[b, 3, tile, tile]` to a square of tokens `[b, t, width]`.
pub fn forward(
    scales: &S2Scales,
    pixels: &Tensor,
    tower: impl Fn(&Tensor) -> Result<Tensor, TorchError>,
) -> Result<Tensor, TorchError> {
    let mut maps = Vec::with_capacity(scales.sides().len());
    for &side in scales.sides() {
        let split = (side / scales.tile()) as i64;
        let tiles = cut(&resized(pixels, side as i64)?, split)?;
        maps.push(joined(&in_portions(&tiles, &tower)?, split)?);
    }
    let grid = maps.first().map_or(Ok(0), |map| map.size4().map(|size| size.2))?;
    let maps = maps
        .iter()
        .map(|map| averaged(map, grid))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::f_cat(&maps, 1)?.f_flatten(2, 3)?.f_transpose(1, 2)?)
}

/// torch's bicubic interpolation in f32 (coefficient -0.75, no antialiasing), rounded to the dtype of the pixels.
fn resized(pixels: &Tensor, side: i64) -> Result<Tensor, TorchError> {
    let wide = pixels.f_to_kind(Kind::Float)?;
    Ok(wide
        .f_upsample_bicubic2d([side, side], false, None, None)?
        .f_to_kind(pixels.f_kind()?)?)
}

/// `[B, C, side, side]` to tiles `[split² · B, C, side / split, side / split]`, row by row, the batch index fastest.
fn cut(picture: &Tensor, split: i64) -> Result<Tensor, TorchError> {
    let (batch, channels, side, _) = picture.size4()?;
    let tile = side / split;
    Ok(picture
        .f_reshape([batch, channels, split, tile, split, tile])?
        .f_permute([2, 4, 0, 1, 3, 5])?
        .f_reshape([split * split * batch, channels, tile, tile])?)
}

/// The tower's tokens of every tile.
fn in_portions(tiles: &Tensor, tower: impl Fn(&Tensor) -> Result<Tensor, TorchError>) -> Result<Tensor, TorchError> {
    let portions = tiles.f_split(TILES_AT_ONCE, 0)?;
    let features = portions.iter().map(tower).collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::f_cat(&features, 0)?)
}

/// Tokens of tiles, `[split² · B, t, width]`, as one map `[B, width, split · √t, split · √t]`.
fn joined(tokens: &Tensor, split: i64) -> Result<Tensor, TorchError> {
    let (tiles, count, width) = tokens.size3()?;
    let grid = (count as u64).isqrt() as i64;
    let batch = tiles / (split * split);
    Ok(tokens
        .f_reshape([split, split, batch, grid, grid, width])?
        .f_permute([2, 5, 0, 3, 1, 4])?
        .f_reshape([batch, width, split * grid, split * grid])?)
}

/// The map brought to `grid` x `grid` by area averaging in f32, rounded to its own dtype.
fn averaged(map: &Tensor, grid: i64) -> Result<Tensor, TorchError> {
    let wide = map.f_to_kind(Kind::Float)?;
    Ok(wide.f_adaptive_avg_pool2d([grid, grid])?.f_to_kind(map.f_kind()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use std::cell::RefCell;

    const CPU: (Kind, tch::Device) = (Kind::Float, tch::Device::Cpu);

    fn floats(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor.to_kind(Kind::Float).flatten(0, -1)).unwrap()
    }

    #[test]
    fn tiles_lie_row_by_row_and_the_batch_index_is_fastest() {
        let pictures = Tensor::arange(32, CPU).view([2, 1, 4, 4]);
        let tiles = cut(&pictures, 2).unwrap();
        assert_eq!(tiles.size(), [8, 1, 2, 2]);
        assert_eq!(floats(&tiles.get(0)), [0., 1., 4., 5.]);
        assert_eq!(floats(&tiles.get(1)), [16., 17., 20., 21.]);
        assert_eq!(floats(&tiles.get(2)), [2., 3., 6., 7.]);
        assert_eq!(floats(&tiles.get(4)), [8., 9., 12., 13.]);
        let tokens = tiles.view([8, 4, 1]);
        assert_eq!(joined(&tokens, 2).unwrap(), pictures);
    }

    #[test]
    fn scales_are_joined_smallest_first_on_the_smallest_grid() {
        // A tower that gives every pixel of a tile as a token: the second channel is the mean of 2 x 2.
        let seen = RefCell::new(Vec::new());
        let tower = |tiles: &Tensor| {
            seen.borrow_mut().push(tiles.size());
            Ok(tiles.f_narrow(1, 0, 1)?.f_flatten(2, 3)?.f_transpose(1, 2)?)
        };
        let pixels = Tensor::arange(3 * 36, CPU).view([1, 3, 6, 6]);
        let features = forward(&S2Scales::of(&[2, 6], 2), &pixels, tower).unwrap();
        assert_eq!(features.size(), [1, 4, 2]);
        let means = [7.0, 10.0, 25.0, 28.0];
        assert_eq!(floats(&features.select(2, 1)), means);
        assert_eq!(
            seen.into_inner(),
            [vec![1, 3, 2, 2], vec![4, 3, 2, 2], vec![4, 3, 2, 2], vec![1, 3, 2, 2]]
        );
    }

    #[test]
    fn interpolation_is_torchs_bicubic() {
        // Halving reads at 0.5 between pixels 1 and 2: weights of a = -0.75 there are -0.09375 and 0.59375.
        let row: Vec<f32> = [0.0, 8.0, 100.0, 30.0].repeat(4);
        let resized = resized(&Tensor::from_slice(&row).view([1, 1, 4, 4]), 2).unwrap();
        let at = |a: f32, b: f32, c: f32, d: f32| -0.09375 * (a + d) + 0.59375 * (b + c);
        let expected = [at(0.0, 0.0, 8.0, 100.0), at(8.0, 100.0, 30.0, 30.0)].repeat(2);
        for (ours, expected) in floats(&resized).iter().zip(expected) {
            assert!((ours - expected).abs() < 1e-4, "{ours} {expected}");
        }
        let own = Tensor::from_slice(&row).view([1, 1, 4, 4]);
        assert_eq!(super::resized(&own, 4).unwrap(), own, "its own size is a copy");
    }

    #[test]
    fn averages_are_taken_in_f32_and_rounded_once() {
        let values: Vec<f16> = [2048.0, 2050.0, 2052.0, 1.0]
            .iter()
            .map(|&v| f16::from_f32(v))
            .collect();
        let map = Tensor::from_slice(&values).view([1, 1, 2, 2]);
        let ours = averaged(&map, 1).unwrap();
        assert_eq!(ours.kind(), Kind::Half);
        assert_eq!(floats(&ours), [f16::from_f32(6151.0 / 4.0).to_f32()]);
    }
}
