//! Weight files and indices that are refused, each with the message a user gets.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use serde_json::json;

use crate::checkpoint::tests::fixture::{Change, Tensor, archive_of, complaint, file_of, llava_hf};

const WEIGHTS: &str = "model.safetensors";
const AGAIN: &str = "truncated, damaged or not safetensors, fetch the file again";

/// A safetensors file with this header and `data` bytes of data.
fn raw(header: &str, data: usize) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        &vec![0; data],
    ]
    .concat()
}

#[test]
fn damaged_safetensors() {
    let whole = file_of(&llava_hf(false).weights[WEIGHTS]);
    let length = whole.len();
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let two = r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"F16","shape":[2],"data_offsets":"#;
    let announce = |bytes: usize| format!("its {bytes} bytes do not hold the header that they announce");
    let cases = [
        (Vec::new(), announce(0)),
        (vec![1, 2, 3], announce(3)),
        ([&u64::MAX.to_le_bytes()[..], b"{}"].concat(), announce(10)),
        ([&100_u64.to_le_bytes()[..], b"{}"].concat(), announce(10)),
        (
            raw("\u{0}\u{0}", 0),
            "its header does not describe tensors: `expected value at line 1 column 1`".to_owned(),
        ),
        (
            [&2_u64.to_le_bytes()[..], &[0xff, 0xfe]].concat(),
            "its header is not UTF-8".to_owned(),
        ),
        (
            raw("[]", 0),
            "its header does not describe tensors: `invalid type: sequence".to_owned(),
        ),
        (
            raw(&entry("F16", "[2]", "[0,4]"), 3),
            "its 65 bytes are not as many as its tensors need".to_owned(),
        ),
        (
            raw(&entry("F16", "[2]", "[4,8]"), 8),
            "the offsets of `a` overlap, leave a gap or lie outside".to_owned(),
        ),
        (
            raw(&entry("F16", "[2]", "[4,0]"), 4),
            "the offsets of `a` overlap, leave a gap or lie outside".to_owned(),
        ),
        (
            raw(&format!("{two}[2,6]}}}}"), 8),
            "the offsets of `b` overlap, leave a gap or lie outside".to_owned(),
        ),
        (
            raw(&entry("F16", "[2]", "[0,3]"), 3),
            "a tensor's offsets do not fit its shape and type".to_owned(),
        ),
        (
            raw(&entry("F16", "[4294967296,4294967296]", "[0,4]"), 4),
            "a tensor's shape has more elements than can be counted".to_owned(),
        ),
        (
            raw(&entry("F7", "[2]", "[0,4]"), 4),
            "its header does not describe tensors: `unknown variant".to_owned(),
        ),
        (
            whole[..length - 1].to_vec(),
            format!("its {} bytes are not as many as its tensors need", length - 1),
        ),
        (
            [&whole[..], &[0]].concat(),
            format!("its {} bytes are not as many as its tensors need", length + 1),
        ),
    ];
    let written = llava_hf(false).write();
    for (bytes, wanted) in cases {
        fs::write(written.path(WEIGHTS), &bytes).unwrap();
        let complaint = written.complaint();
        assert!(
            complaint.starts_with(&format!("`{WEIGHTS}`: {wanted}")),
            "{complaint}\nwanted {wanted}"
        );
        assert!(complaint.ends_with(AGAIN), "{complaint}");
    }
}

#[test]
fn shards_and_indices() {
    const INDEX: &str = "model.safetensors.index.json";
    const SECOND: &str = "model-00002-of-00002.safetensors";
    const NORM: &str = "language_model.model.norm.weight";
    let mut sharded = llava_hf(false);
    sharded.shard("");
    assert!(sharded.weights["model-00001-of-00002.safetensors"].contains_key(NORM));
    let cases: [(Change, String); 10] = [
        (
            &|tiny| drop(tiny.weights.remove(SECOND)),
            format!("`{INDEX}`: `weight_map` names the shard `{SECOND}`, which is not there: fetch it"),
        ),
        (
            &|tiny| drop(tiny.tensors("model-00001-of-00002.safetensors").remove(NORM)),
            format!(
                "`{INDEX}`: `weight_map` puts `{NORM}` in `model-00001-of-00002.safetensors`, which does not hold it"
            ),
        ),
        (
            &|tiny| tiny.config(INDEX)["weight_map"][NORM] = json!(SECOND),
            format!("`{INDEX}`: `weight_map` puts `{NORM}` in `{SECOND}`, which does not hold it"),
        ),
        (
            &|tiny| tiny.config(INDEX)["weight_map"][NORM] = json!("../x"),
            format!("`{INDEX}`: `weight_map` puts `{NORM}` in `../x`: not a file name in this folder"),
        ),
        (
            &|tiny| tiny.config(INDEX)["weight_map"][NORM] = json!(7),
            format!("`{INDEX}`: `weight_map` puts `{NORM}` in `7`: not a file name in this folder"),
        ),
        (
            &|tiny| {
                let norm = tiny.weights["model-00001-of-00002.safetensors"][NORM].clone();
                tiny.tensors(SECOND).insert(NORM.to_owned(), norm);
            },
            format!("`{SECOND}`: tensor `{NORM}` is in `model-00001-of-00002.safetensors` too"),
        ),
        (
            &|tiny| tiny.config(INDEX)["metadata"]["total_size"] = json!(1),
            format!("`{INDEX}`: `metadata.total_size` is 1, the shards hold "),
        ),
        (
            &|tiny| drop(tiny.config(INDEX).as_object_mut().unwrap().remove("weight_map")),
            format!("`{INDEX}`: `weight_map` is missing"),
        ),
        (
            &|tiny| tiny.config(INDEX)["weight_map"] = json!([]),
            format!("`{INDEX}`: `weight_map` must be an object, not `[]`"),
        ),
        (
            &|tiny| tiny.config(INDEX)["weight_map"] = json!({}),
            format!("`{INDEX}`: `metadata.total_size` is "),
        ),
    ];
    for (change, wanted) in cases {
        let complaint = complaint(sharded.clone(), change);
        assert!(complaint.starts_with(&wanted), "{complaint}\nwanted {wanted}");
    }
    let written = sharded.write();
    let shard = fs::read(written.path(SECOND)).unwrap();
    fs::write(written.path(SECOND), &shard[..shard.len() / 2]).unwrap();
    assert!(
        written.complaint().starts_with(&format!("`{SECOND}`: its ")),
        "{}",
        written.complaint()
    );
}

#[test]
fn weights_in_other_containers() {
    let mut tiny = llava_hf(false);
    tiny.weights.clear();
    let written = tiny.write();
    let nothing = "`FOLDER`: holds no weights: none of `model.safetensors`, `model.safetensors.index.json`, \
                   `pytorch_model.bin`, `pytorch_model.bin.index.json`, no `*.pt`";
    assert_eq!(written.complaint(), nothing);
    let one = BTreeMap::from([(
        "a".to_owned(),
        Tensor {
            dtype: safetensors::Dtype::F16,
            shape: vec![2],
        },
    )]);
    fs::write(written.path("a.pt"), archive_of(&one)).unwrap();
    assert!(
        written
            .complaint()
            .starts_with("`a.pt`: is the only weight file and holds no quantised tensors: ")
    );
    fs::write(written.path("b.pt"), "").unwrap();
    assert_eq!(
        written.complaint(),
        "`FOLDER`: holds several `.pt` files, `a.pt` and `b.pt`: keep one"
    );
    // The first of the four wins, whatever else lies there.
    for (name, wanted) in [
        ("pytorch_model.bin.index.json", "is not JSON: "),
        ("pytorch_model.bin", "is no zip archive: "),
        ("model.safetensors.index.json", "is not JSON: "),
        ("model.safetensors", "its 0 bytes do not hold the header"),
    ] {
        fs::write(written.path(name), "").unwrap();
        let complaint = written.complaint();
        assert!(complaint.starts_with(&format!("`{name}`: {wanted}")), "{complaint}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever bytes a weight file starts with, opening ends in a checkpoint or in one line about that file.
    #[test]
    fn no_header_breaks_the_loader(at in 0_usize..4000, byte: u8, cut in prop::option::of(0_usize..4000)) {
        let written = llava_hf(false).write();
        let mut bytes = fs::read(written.path(WEIGHTS)).unwrap();
        let place = at % bytes.len();
        bytes[place] = byte;
        if let Some(cut) = cut {
            bytes.truncate(cut);
        }
        fs::write(written.path(WEIGHTS), bytes).unwrap();
        if written.open().is_err() {
            written.complaint();
        }
    }
}
