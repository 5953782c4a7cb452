//! The picture processor that a checkpoint names (`preprocessing.md` sections 2 and 3), and whether what it
//! makes fits the vision tower.

use crate::checkpoint::config::{ConfigFile, TowerConfig, TowerKind};
use crate::checkpoint::error::CheckpointError;
use crate::picture::{Geometry, Preprocess, Processor, ProcessorClass};

/// `image_aspect_ratio` of a VILA1.5 `config.json`.
pub(super) fn geometry(config: &ConfigFile) -> Result<Geometry, CheckpointError> {
    Geometry::from_aspect_ratio(config.value("image_aspect_ratio")).map_err(|setting| config.fault(setting.to_string()))
}

/// The preprocessing of `file`, or that of the tower's kind where a checkpoint has no `preprocessor_config.json`;
/// `config` is the file to blame there. InternViT's is fixed in `intern_encoder.py`, whatever a file says. Behind S2
/// the processor makes the largest scale.
pub(super) fn preprocess_from(
    geometry: Geometry,
    file: Option<&ConfigFile>,
    tower: &TowerConfig,
    config: &ConfigFile,
) -> Result<Preprocess, CheckpointError> {
    let class = match tower.kind {
        TowerKind::Clip => ProcessorClass::Clip,
        TowerKind::Siglip => ProcessorClass::Siglip,
        TowerKind::InternVit => ProcessorClass::InternVit,
    };
    let side = tower.input_size();
    let file = file.filter(|_| class != ProcessorClass::InternVit);
    let mut processor = match file {
        Some(file) => Processor::from_json(&file.json(), class).map_err(|setting| file.fault(setting.to_string()))?,
        None => Processor::published(class, side),
    };
    if tower.s2.is_some() {
        processor = Processor {
            resize: Processor::published(class, side).resize,
            crop: processor.crop.map(|_| (side, side)),
            ..processor
        };
    }
    let preprocess = Preprocess { geometry, processor };
    match preprocess.output_size() {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::checkpoint::config::{Activation, S2Scales, SelectFeature};

    fn tower(kind: TowerKind, image_size: usize) -> TowerConfig {
        TowerConfig {
            kind,
            hidden_size: 8,
            intermediate_size: 8,
            layers: 2,
            heads: 2,
            image_size,
            patch_size: 2,
            layer_norm_eps: 1e-5,
            activation: Activation::QuickGelu,
            select_state: 1,
            select_feature: SelectFeature::ClsPatch,
            s2: None,
        }
    }

    fn read(kind: TowerKind, side: usize, keys: Value) -> Result<Processor, String> {
        let (file, config) = (ConfigFile::of(keys), ConfigFile::of(json!({})));
        let preprocess = preprocess_from(Geometry::Processor, Some(&file), &tower(kind, side), &config);
        preprocess
            .map(|found| found.processor)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_without_a_class_is_read_as_the_towers() {
        let sizes = json!({"size": {"height": 384, "width": 384}});
        assert_eq!(read(TowerKind::Siglip, 384, sizes), Ok(Processor::siglip(384)));
        let sizes = json!({"size": 336, "crop_size": 336});
        assert_eq!(read(TowerKind::Clip, 336, sizes), Ok(Processor::clip(336)));
    }

    #[test]
    fn faults_name_the_file() {
        let cases = [
            (
                json!({"size": 9, "crop_size": 9}),
                "`config.json`: makes pictures of 9 x 9, the vision tower takes 8 x 8",
            ),
            (
                json!({"size": 8, "do_center_crop": false}),
                "`config.json`: makes pictures of no fixed size: give `size` and `crop_size`",
            ),
            (
                json!({"size": 8, "crop_size": 8, "resample": 2}),
                "`config.json`: `resample` is 2: only 3 (bicubic) is known",
            ),
        ];
        for (keys, wanted) in cases {
            assert_eq!(read(TowerKind::Clip, 8, keys), Err(wanted.to_owned()));
        }
    }

    #[test]
    fn a_checkpoint_without_the_file_has_the_published_processor() {
        let config = ConfigFile::of(json!({}));
        let found = preprocess_from(Geometry::Stretch, None, &tower(TowerKind::Siglip, 30), &config).unwrap();
        assert_eq!(
            found,
            Preprocess {
                geometry: Geometry::Stretch,
                processor: Processor::siglip(30)
            }
        );
    }

    #[test]
    fn intern_vit_reads_no_file_and_s2_makes_the_largest_scale() {
        let keys = || json!({"size": {"height": 13, "width": 13}, "image_mean": [0.1, 0.2, 0.3]});
        assert_eq!(read(TowerKind::InternVit, 448, keys()), Ok(Processor::intern_vit(448)));
        let s2 = TowerConfig {
            s2: Some(S2Scales::of(&[13, 26], 13)),
            ..tower(TowerKind::Siglip, 13)
        };
        let (file, config) = (ConfigFile::of(keys()), ConfigFile::of(json!({})));
        let found = preprocess_from(Geometry::Stretch, Some(&file), &s2, &config).unwrap();
        let wanted = Processor {
            mean: [0.1, 0.2, 0.3],
            ..Processor::siglip(26)
        };
        assert_eq!(found.processor, wanted);
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
                .contains("\"anyres_max_9\"")
        );
    }
}
