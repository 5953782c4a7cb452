//! The picture processor that a checkpoint names (`preprocessing.md` sections 2, 3.1 and 3.2), and whether what it
//! makes fits the vision tower.

use serde_json::Value;

use crate::checkpoint::config::{ConfigFile, TowerConfig, TowerKind};
use crate::checkpoint::error::CheckpointError;
use crate::picture::{Geometry, Preprocess, Processor, Resize};

/// Pillow's number for bicubic.
const BICUBIC: i64 = 3;

/// `image_aspect_ratio` of a VILA1.5 `config.json`.
pub(super) fn geometry(config: &ConfigFile) -> Result<Geometry, CheckpointError> {
    let key = "image_aspect_ratio";
    match config.string(key)? {
        Some("pad") => Ok(Geometry::Pad),
        Some("resize") => Ok(Geometry::Stretch),
        None | Some("square") => Ok(Geometry::Processor),
        Some(other) => Err(config.refused(key, other, "known are `pad`, `resize`, `square`")),
    }
}

/// The preprocessing of `file`, or that of the tower's kind where a checkpoint has no `preprocessor_config.json`;
/// `config` is the file to blame there.
pub(super) fn preprocess_from(
    geometry: Geometry,
    file: Option<&ConfigFile>,
    tower: &TowerConfig,
    config: &ConfigFile,
) -> Result<Preprocess, CheckpointError> {
    let processor = match file {
        Some(file) => from_json(file, tower.kind)?,
        None => preset(tower.kind, tower.image_size),
    };
    let preprocess = Preprocess { geometry, processor };
    let side = tower.image_size;
    match output(&preprocess) {
        Some(size) if size == (side, side) => Ok(preprocess),
        Some((width, height)) => {
            let what = format!("makes pictures of {width} x {height}, the vision tower takes {side} x {side}");
            Err(file.unwrap_or(config).fault(what))
        }
        None => Err(file
            .unwrap_or(config)
            .fault("makes pictures of no fixed size: give `size` and `crop_size`")),
    }
}

/// Width and height of what comes out, where that does not depend on the picture.
fn output(preprocess: &Preprocess) -> Option<(usize, usize)> {
    let Processor { resize, crop, .. } = &preprocess.processor;
    crop.or(match (preprocess.geometry, resize) {
        (_, Some(Resize::Exact { width, height })) => Some((*width, *height)),
        (Geometry::Pad | Geometry::Stretch, Some(Resize::ShortestEdge(side))) => Some((*side, *side)),
        (Geometry::Processor, Some(Resize::ShortestEdge(_))) | (_, None) => None,
    })
}

/// Mean and standard deviation of the class.
fn constants(kind: TowerKind) -> ([f64; 3], [f64; 3]) {
    match kind {
        TowerKind::Clip => (
            [0.481_454_66, 0.457_827_5, 0.408_210_73],
            [0.268_629_54, 0.261_302_58, 0.275_777_11],
        ),
        TowerKind::Siglip => ([0.5; 3], [0.5; 3]),
    }
}

/// The published processor of that kind of tower.
fn preset(kind: TowerKind, side: usize) -> Processor {
    let (mean, std) = constants(kind);
    let (resize, crop) = match kind {
        TowerKind::Clip => (Resize::ShortestEdge(side), Some((side, side))),
        TowerKind::Siglip => (
            Resize::Exact {
                width: side,
                height: side,
            },
            None,
        ),
    };
    Processor {
        resize: Some(resize),
        crop,
        rescale_factor: 1.0 / 255.0,
        mean,
        std,
    }
}

/// A `preprocessor_config.json`. The SigLIP processor of VILA1.5 knows no crop.
fn from_json(file: &ConfigFile, kind: TowerKind) -> Result<Processor, CheckpointError> {
    let on = |key| Ok::<_, CheckpointError>(file.flag(key)?.unwrap_or(true));
    if let Some(other) = file.integer("resample")?.filter(|number| *number != BICUBIC) {
        return Err(file.fault_at("resample", format!("is {other}: only {BICUBIC} (bicubic) is supported")));
    }
    let resize = if on("do_resize")? { Some(resize(file)?) } else { None };
    let crop = match kind {
        TowerKind::Clip if on("do_center_crop")? => Some(width_and_height(file, "crop_size")?),
        TowerKind::Clip | TowerKind::Siglip => None,
    };
    let rescale_factor = if on("do_rescale")? {
        file.positive("rescale_factor")?.unwrap_or(1.0 / 255.0)
    } else {
        1.0
    };
    let (mean, std) = if on("do_normalize")? {
        let (mean, std) = constants(kind);
        (
            channels(file, "image_mean")?.unwrap_or(mean),
            channels(file, "image_std")?.unwrap_or(std),
        )
    } else {
        ([0.0; 3], [1.0; 3])
    };
    if let Some(zero) = std.iter().find(|value| **value <= 0.0) {
        return Err(file.fault_at("image_std", format!("holds {zero}: must be positive")));
    }
    Ok(Processor {
        resize,
        crop,
        rescale_factor,
        mean,
        std,
    })
}

/// `size`: a number or `shortest_edge`, or `height` and `width`.
fn resize(file: &ConfigFile) -> Result<Resize, CheckpointError> {
    if let Some(Value::Object(keys)) = file.value("size")
        && !keys.contains_key("shortest_edge")
    {
        let (width, height) = width_and_height(file, "size")?;
        return Ok(Resize::Exact { width, height });
    }
    let side = match file.value("size") {
        Some(Value::Object(_)) => file
            .required("size", ConfigFile::object)?
            .required("shortest_edge", ConfigFile::size),
        _ => file.required("size", ConfigFile::size),
    }?;
    Ok(Resize::ShortestEdge(side))
}

/// A number for both, or `height` and `width`.
fn width_and_height(file: &ConfigFile, key: &str) -> Result<(usize, usize), CheckpointError> {
    if let Some(Value::Object(_)) = file.value(key) {
        let sides = file.required(key, ConfigFile::object)?;
        return Ok((
            sides.required("width", ConfigFile::size)?,
            sides.required("height", ConfigFile::size)?,
        ));
    }
    let side = file.required(key, ConfigFile::size)?;
    Ok((side, side))
}

/// Three numbers.
fn channels(file: &ConfigFile, key: &str) -> Result<Option<[f64; 3]>, CheckpointError> {
    let Some(value) = file.value(key) else { return Ok(None) };
    let numbers: Option<Vec<f64>> = value
        .as_array()
        .and_then(|items| items.iter().map(Value::as_f64).collect());
    match numbers.and_then(|numbers| <[f64; 3]>::try_from(numbers).ok()) {
        Some(channels) => Ok(Some(channels)),
        None => Err(file.wrong_type(key, "a list of three numbers", value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: TowerKind, keys: Value) -> Result<Processor, String> {
        from_json(&ConfigFile::of(keys), kind).map_err(|error| error.to_string())
    }

    #[test]
    fn processors_in_each_spelling() {
        let clip = preset(TowerKind::Clip, 336);
        let siglip = preset(TowerKind::Siglip, 384);
        let cases = [
            (TowerKind::Clip, json!({"size": 336, "crop_size": 336}), clip.clone()),
            (
                TowerKind::Clip,
                json!({
                    "crop_size": {"height": 336, "width": 336}, "do_center_crop": true, "do_normalize": true,
                    "do_resize": true, "image_mean": [0.48145466, 0.4578275, 0.40821073],
                    "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3,
                    "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 336},
                }),
                clip.clone(),
            ),
            (
                TowerKind::Clip,
                json!({"size": {"height": 20, "width": 30}, "do_center_crop": false}),
                Processor {
                    resize: Some(Resize::Exact { width: 30, height: 20 }),
                    crop: None,
                    ..clip.clone()
                },
            ),
            (
                TowerKind::Clip,
                json!({"do_resize": false, "crop_size": {"height": 20, "width": 30}}),
                Processor {
                    resize: None,
                    crop: Some((30, 20)),
                    ..clip.clone()
                },
            ),
            (
                TowerKind::Siglip,
                json!({"size": {"height": 384, "width": 384}, "crop_size": 9}),
                siglip.clone(),
            ),
            (
                TowerKind::Siglip,
                json!({"size": {"shortest_edge": 384}, "do_rescale": false, "do_normalize": false}),
                Processor {
                    resize: Some(Resize::ShortestEdge(384)),
                    rescale_factor: 1.0,
                    mean: [0.0; 3],
                    std: [1.0; 3],
                    ..siglip
                },
            ),
        ];
        for (kind, keys, wanted) in cases {
            assert_eq!(read(kind, keys.clone()), Ok(wanted), "{keys}");
        }
    }

    #[test]
    fn faults_are_named() {
        let cases = [
            (json!({"crop_size": 336}), "`size` is missing"),
            (json!({"size": 336}), "`crop_size` is missing"),
            (
                json!({"size": {"height": 3}, "crop_size": 3}),
                "`size.width` is missing",
            ),
            (
                json!({"size": "big", "crop_size": 3}),
                "`size` must be a whole number, not `\"big\"`",
            ),
            (
                json!({"size": 3, "crop_size": 3, "resample": 2}),
                "`resample` is 2: only 3 (bicubic) is supported",
            ),
            (
                json!({"size": 3, "crop_size": 3, "image_mean": [0.5, 0.5]}),
                "`image_mean` must be a list of three numbers, not `[0.5,0.5]`",
            ),
            (
                json!({"size": 3, "crop_size": 3, "image_std": [1, 0, 1]}),
                "`image_std` holds 0: must be positive",
            ),
        ];
        for (keys, wanted) in cases {
            assert_eq!(read(TowerKind::Clip, keys), Err(format!("`config.json`: {wanted}")));
        }
    }

    #[test]
    fn pictures_come_in_one_size() {
        let exact = Resize::Exact { width: 30, height: 20 };
        let edge = Resize::ShortestEdge(40);
        let cases = [
            (Geometry::Processor, Some(edge), Some((50, 60)), Some((50, 60))),
            (Geometry::Processor, Some(exact), None, Some((30, 20))),
            (Geometry::Processor, Some(edge), None, None),
            (Geometry::Processor, None, None, None),
            (Geometry::Pad, Some(edge), None, Some((40, 40))),
            (Geometry::Stretch, Some(edge), None, Some((40, 40))),
            (Geometry::Stretch, None, None, None),
        ];
        for (geometry, resize, crop, wanted) in cases {
            let processor = Processor {
                resize,
                crop,
                ..preset(TowerKind::Clip, 8)
            };
            let preprocess = Preprocess { geometry, processor };
            assert_eq!(output(&preprocess), wanted, "{preprocess:?}");
        }
    }

    #[test]
    fn geometries_by_name() {
        let read = |keys| geometry(&ConfigFile::of(keys));
        assert_eq!(read(json!({"image_aspect_ratio": "pad"})).unwrap(), Geometry::Pad);
        assert_eq!(
            read(json!({"image_aspect_ratio": "resize"})).unwrap(),
            Geometry::Stretch
        );
        assert_eq!(
            read(json!({"image_aspect_ratio": "square"})).unwrap(),
            Geometry::Processor
        );
        assert_eq!(read(json!({})).unwrap(), Geometry::Processor);
        assert!(
            read(json!({"image_aspect_ratio": "anyres_max_9"}))
                .unwrap_err()
                .to_string()
                .contains("`anyres_max_9`")
        );
    }
}
