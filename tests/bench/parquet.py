"""Parquet files with the standard library alone: required columns, PLAIN encoding, one uncompressed page a column chunk.

As lmms-lab's sets have them, pictures lie in a column `image`, a struct with `bytes`.
"""

import struct

INT64, BYTE_ARRAY = 2, 6
I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
MAGIC = b"PAR1"


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def whole(number):
    return varint(number << 1)


def text(value):
    value = value.encode()
    return varint(len(value)) + value


def record(*fields):
    """A struct of Thrift's compact protocol; fields are (number, type, encoded value)."""
    out, last = bytearray(), 0
    for number, kind, value in fields:
        out += bytes([(number - last) << 4 | kind]) + value
        last = number
    return bytes(out) + b"\0"


def sequence(kind, values):
    head = bytes([len(values) << 4 | kind]) if len(values) < 15 else bytes([0xF0 | kind]) + varint(len(values))
    return head + b"".join(values)


def plain(kind, values):
    if kind == INT64:
        return b"".join(struct.pack("<q", value) for value in values)
    encoded = (value.encode() if isinstance(value, str) else value for value in values)
    return b"".join(struct.pack("<I", len(value)) + value for value in encoded)


def leaf(kind, name, is_text):
    fields = [(1, I32, whole(kind)), (3, I32, whole(0)), (4, BINARY, text(name))]
    return record(*fields, *([(6, I32, whole(0))] if is_text else []))


def group(name, children, root=False):
    fields = [(4, BINARY, text(name)), (5, I32, whole(children))]
    return record(*([] if root else [(3, I32, whole(0))]), *fields)


def write(path, columns, groups):
    """`columns`: names of columns with int or str for their kind, before the pictures. `groups` gives row groups, each
    a list of rows: the columns' values, then the bytes of the picture."""
    kinds = [(INT64 if kind is int else BYTE_ARRAY, (name,)) for name, kind in columns]
    kinds.append((BYTE_ARRAY, ("image", "bytes")))
    schema = [group("schema", len(columns) + 1, root=True)]
    schema += [leaf(INT64 if kind is int else BYTE_ARRAY, name, kind is str) for name, kind in columns]
    schema += [group("image", 1), leaf(BYTE_ARRAY, "bytes", False)]
    row_groups, total = [], 0
    with open(path, "wb") as out:
        out.write(MAGIC)
        for rows in groups:
            chunks, size = [], 0
            for (kind, place), values in zip(kinds, zip(*rows)):
                offset, data = out.tell(), plain(kind, values)
                page = record((1, I32, whole(len(rows))), (2, I32, whole(0)), (3, I32, whole(3)), (4, I32, whole(3)))
                header = record((1, I32, whole(0)), (2, I32, whole(len(data))), (3, I32, whole(len(data))), (5, STRUCT, page))
                out.write(header)
                out.write(data)
                length = len(header) + len(data)
                size += length
                meta = record(
                    (1, I32, whole(kind)), (2, LIST, sequence(I32, [whole(0)])),
                    (3, LIST, sequence(BINARY, [text(name) for name in place])), (4, I32, whole(0)),
                    (5, I64, whole(len(rows))), (6, I64, whole(length)), (7, I64, whole(length)), (9, I64, whole(offset)),
                )
                chunks.append(record((2, I64, whole(offset)), (3, STRUCT, meta)))
            row_groups.append(record((1, LIST, sequence(STRUCT, chunks)), (2, I64, whole(size)), (3, I64, whole(len(rows)))))
            total += len(rows)
        footer = record(
            (1, I32, whole(1)), (2, LIST, sequence(STRUCT, schema)), (3, I64, whole(total)),
            (4, LIST, sequence(STRUCT, row_groups)), (6, BINARY, text("vila-bench tests/bench")),
        )
        out.write(footer + struct.pack("<I", len(footer)) + MAGIC)
