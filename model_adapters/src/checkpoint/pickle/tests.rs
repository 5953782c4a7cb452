//! Pickles as `torch.save` writes them, broken ones and hostile ones.

use proptest::prelude::*;
use safetensors::Dtype;

use crate::checkpoint::pickle::{LARGEST, PickledTensor, state_dict};

/// `\x80\x02`, then what follows.
fn fault(opcodes: &[u8]) -> String {
    state_dict(&[b"\x80\x02", opcodes].concat()).unwrap_err()
}

/// What `torch.save({"a": t})` writes for a half tensor of shape [2, 3] at offset 1 of storage 0 (7 elements).
fn one_tensor(offset: &[u8], strides: &[u8]) -> Vec<u8> {
    [
        b"\x80\x02}q\x00X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\nq\x01(".as_slice(),
        b"(X\x07\x00\x00\x00storagectorch\nHalfStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x07tQ",
        offset,
        b"K\x02K\x03\x86",
        strides,
        b"\x89ccollections\nOrderedDict\n)RtRs.",
    ]
    .concat()
}

#[test]
fn a_state_dict_is_its_tensors() {
    let pickle = one_tensor(b"K\x01", b"K\x03K\x01\x86");
    let found = state_dict(&pickle).unwrap();
    let wanted = PickledTensor {
        dtype: Dtype::F16,
        storage: "0",
        storage_elements: 7,
        offset: 1,
        shape: vec![2, 3],
        strides: vec![3, 1],
    };
    assert_eq!(found, [("a".to_owned(), wanted)]);
}

#[test]
fn nothing_but_tensors_is_named() {
    let os_system = fault(b"cos\nsystem\nX\x04\x00\x00\x00true\x85R.");
    assert!(
        os_system.starts_with("its pickle names `os.system`: only tensors are read"),
        "{os_system}"
    );
    let stacked = fault(b"\x8c\x08builtins\x8c\x04eval\x93.");
    assert!(stacked.starts_with("its pickle names `builtins.eval`: "), "{stacked}");
    let hidden = fault(b"ctorch\nload\n.");
    assert!(hidden.starts_with("its pickle names `torch.load`: "), "{hidden}");
    assert!(fault(b"cos\rsystem\nx\ny\n.").starts_with("its pickle names `os\\rsystem.x`"));
}

#[test]
fn hostile_and_broken_pickles() {
    let cases: [(&[u8], &str); 18] = [
        (b"", "its pickle ends early"),
        (b"}", "its pickle ends early"),
        (b".", "its pickle takes more from the stack than is there"),
        (b"K\x01.", "its pickle holds no dict of tensors"),
        (b"t.", "its pickle closes what it never opened"),
        (b"}K\x01K\x02s.", "its pickle has a key that is no string"),
        (b"}X\x01\x00\x00\x00aK\x02s.", "`a` is no tensor"),
        (b"}(K\x01u.", "its pickle sets a key without a value"),
        (b"K\x01K\x02K\x03s.", "its pickle sets items of what is no dict"),
        (b"}K\x01a.", "its pickle appends to what is no list"),
        (b"X\xff\xff\xff\xffab", "its pickle ends inside a string"),
        (
            b"j\xff\xff\xff\xff.",
            "its pickle recalls 4294967295, which it never stored",
        ),
        (b"\x8a\x09123456789.", "its pickle has a number of more than 8 bytes"),
        (
            b"ccollections\nOrderedDict\nK\x01\x85R.",
            "its pickle calls something that rebuilds no tensor",
        ),
        (b"(K\x01K\x02tQ.", "its pickle refers to something else than a storage"),
        (b"i", "its pickle has opcode 0x69 at byte 2, which no state dict needs"),
        (
            b"\x82\x01.",
            "its pickle has opcode 0x82 at byte 2, which no state dict needs",
        ),
        (b"cposix", "its pickle ends inside a name"),
    ];
    for (opcodes, wanted) in cases {
        assert_eq!(fault(opcodes), wanted, "{opcodes:?}");
    }
    assert_eq!(
        state_dict(&one_tensor(b"J\xff\xff\xff\xff", b"K\x03K\x01\x86")).unwrap_err(),
        "its pickle has a negative storage offset"
    );
    assert_eq!(
        state_dict(&one_tensor(b"K\x01", b"K\x03J\xfe\xff\xff\xff\x86")).unwrap_err(),
        "its pickle has a size or stride that is no positive number"
    );
}

#[test]
fn bombs_cost_no_more_than_their_size() {
    // A tuple in a tuple in a tuple …, two million deep; as many marks; a memo entry with the largest number; a
    // list that holds itself.
    let nested = [b")".as_slice(), &vec![0x85; 2_000_000], b"."].concat();
    assert_eq!(fault(&nested), "its pickle holds no dict of tensors");
    assert_eq!(fault(&vec![b'('; 2_000_000]), "its pickle ends early");
    assert_eq!(
        fault(b"}r\xff\xff\xff\xff0"),
        "its pickle has opcode 0x30 at byte 8, which no state dict needs"
    );
    assert_eq!(fault(b"]q\x00h\x00a."), "its pickle holds no dict of tensors");
    assert_eq!(
        fault(&[b"(".as_slice(), &b"K\x01".repeat(9), b"t."].concat()),
        "its pickle holds no dict of tensors"
    );
    let large = state_dict(&vec![b'N'; LARGEST + 1]).unwrap_err();
    assert!(large.ends_with("more than any state dict"), "{large}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = state_dict(&bytes);
    }

    /// The opcodes themselves, in any order, get further than random bytes do.
    #[test]
    fn no_order_of_opcodes_makes_it_panic(
        opcodes in prop::collection::vec(
            prop::sample::select(b"(Nt)}]lausbRQq\x00h\x00\x85\x86\x87\x88K\x01\x94.".to_vec()),
            0..60,
        ),
    ) {
        let _ = state_dict(&opcodes);
    }

    #[test]
    fn no_damage_makes_it_panic(at in 0_usize..200, byte: u8) {
        let mut bytes = one_tensor(b"K\x01", b"K\x03K\x01\x86");
        let place = at % bytes.len();
        bytes[place] = byte;
        let _ = state_dict(&bytes);
    }
}
