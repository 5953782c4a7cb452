//! The protobuf wire format, as far as a SentencePiece model file needs it: fields in file order, every length
//! checked (<https://protobuf.dev/programming-guides/encoding/>). Groups, obsolete since proto2, are refused.

use std::fmt;

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64,
    /// Wire type 2: a string, a message or packed numbers.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

/// Bytes that are no protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireError {
    /// The message ends inside a field.
    Truncated,
    /// A number of more than 64 bits.
    LongVarint,
    /// A field number of 0 or beyond 2^29 - 1.
    FieldNumber,
    /// A wire type other than 0, 1, 2 and 5.
    WireType(u64),
    /// A field of another wire type than the schema says; holds its number.
    Unexpected(u32),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the data ends inside a field"),
            Self::LongVarint => f.write_str("a number has more than 64 bits"),
            Self::FieldNumber => f.write_str("a field number is out of range"),
            Self::WireType(kind) => write!(f, "unknown wire type {kind}"),
            Self::Unexpected(number) => write!(f, "field {number} has the wrong wire type"),
        }
    }
}

/// The fields of one message; ends after the first error.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of `message`.
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or(WireError::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, tail) = self.rest.split_first().ok_or(WireError::Truncated)?;
            self.rest = tail;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return Err(WireError::LongVarint);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::LongVarint)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), WireError> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3)
            .ok()
            .filter(|number| (1..1 << 29).contains(number))
            .ok_or(WireError::FieldNumber)?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?.try_into().map_err(|_| WireError::Truncated)?;
                Value::Fixed32(u32::from_le_bytes(bytes))
            }
            kind => return Err(WireError::WireType(kind)),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, WireError> {
        Fields::new(message).collect()
    }

    #[test]
    fn reads_every_wire_type_in_order() {
        let message = [
            0x08, 0x96, 0x01, // field 1, varint 150
            0x12, 0x02, b'h', b'i', // field 2, bytes
            0x1D, 0x00, 0x00, 0x80, 0xBF, // field 3, fixed32: -1.0
            0x21, 1, 2, 3, 4, 5, 6, 7, 8, // field 4, fixed64
            0x80, 0x01, 0x00, // field 16, varint 0
        ];
        assert_eq!(
            read(&message).unwrap(),
            [
                (1, Value::Varint(150)),
                (2, Value::Bytes(b"hi")),
                (3, Value::Fixed32((-1.0f32).to_bits())),
                (4, Value::Fixed64),
                (16, Value::Varint(0)),
            ]
        );
    }

    #[test]
    fn refuses_what_is_no_message() {
        let cases: [(&[u8], WireError); 9] = [
            (&[0x08], WireError::Truncated),
            (&[0x08, 0x80], WireError::Truncated),
            (&[0x12, 0x03, b'h', b'i'], WireError::Truncated),
            (
                &[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
                WireError::Truncated,
            ),
            (&[0x1D, 0, 0, 0], WireError::Truncated),
            (
                &[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02],
                WireError::LongVarint,
            ),
            (
                &[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x80, 0],
                WireError::LongVarint,
            ),
            (&[0x00, 0x00], WireError::FieldNumber),
            (&[0x0B], WireError::WireType(3)),
        ];
        for (message, error) in cases {
            assert_eq!(read(message), Err(error), "{message:02X?}");
        }
        assert_eq!(
            read(&[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]).unwrap(),
            [(1, Value::Varint(u64::MAX))]
        );
    }

    proptest! {
        #[test]
        fn ends_on_any_bytes(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let fields: Vec<_> = Fields::new(&message).collect();
            prop_assert!(fields.len() <= message.len());
            prop_assert!(fields.iter().rev().skip(1).all(Result::is_ok));
        }
    }
}
