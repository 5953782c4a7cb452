"""Packs two small linears of four bits in each AWQ format, and unpacks them the plain way, for `awq.rs`."""

import pathlib

import numpy as np
from safetensors.numpy import save_file

FIXTURE = pathlib.Path(__file__).parents[2] / "model_adapters/tests/fixtures/awq.safetensors"
GROUP = 128
# The order in which AutoAWQ lays eight columns into a word, lowest nibble first.
GEMM = [0, 2, 4, 6, 1, 3, 5, 7]


def words(nibbles, kind):
    """The last axis, lowest nibble first, to one word each."""
    shifts = 4 * np.arange(nibbles.shape[-1], dtype=np.uint32)
    return (nibbles.astype(np.uint32) << shifts).sum(axis=-1, dtype=np.uint32).astype(kind)


def padded(groups, width):
    """Zero columns up to eight times `width`."""
    return np.pad(groups, [(0, 0), (0, 8 * width - groups.shape[1])])


def v2(q, scale, zero):
    """Within 32 columns the axes (d, g, e) of 8d + 2g + e become (g, e, d); four rows share each 64 words."""
    n, k = q.shape
    ordered = q.reshape(n, k // 32, 4, 4, 2).transpose(0, 1, 3, 4, 2).reshape(n // 4, 4, k // 64, 64)
    blocks = ordered.transpose(0, 2, 1, 3).reshape(n // 4, k, 4)
    width = -(-(k // GROUP) // 8)
    minus = -(scale.astype(np.float32) * zero.astype(np.float32)).astype(np.float16)
    value = q.astype(np.float32) * spread(scale) + spread(minus)
    return {
        "qweight": words(blocks, np.uint16).view(np.int16),
        "scales": np.ascontiguousarray(padded(scale, width).T),
        "scaled_zeros": np.ascontiguousarray(padded(minus, width).T),
        "weight": value.astype(np.float16),
    }


def v1(q, scale, zero):
    n, k = q.shape
    width = -(-(k // GROUP) // 8)
    return {
        "qweight": words(q.reshape(n, k // 8, 8), np.uint32).view(np.int32),
        "scales": padded(scale, width),
        "qzeros": words(padded(zero, width).reshape(n, width, 8), np.uint32).view(np.int32),
        "weight": ((q.astype(np.float32) - spread(zero)) * spread(scale)).astype(np.float16),
    }


def gemm(q, scale, zero):
    columns = lambda rows: words(rows.T.reshape(rows.shape[1], -1, 8)[:, :, GEMM], np.uint32).view(np.int32)
    return {
        "qweight": columns(q),
        "scales": np.ascontiguousarray(scale.T),
        "qzeros": columns(zero),
        "weight": ((q.astype(np.float32) - spread(zero)) * spread(scale)).astype(np.float16),
    }


def spread(groups):
    return np.repeat(groups.astype(np.float32), GROUP, axis=1)


def main():
    generator = np.random.RandomState(4)
    tensors = {}
    for name, n, k in [("wide", 8, 1152), ("square", 128, 128)]:
        q = generator.randint(0, 16, (n, k))
        scale = (0.002 + 0.02 * generator.random_sample((n, k // GROUP))).astype(np.float16)
        zero = generator.randint(0, 16, (n, k // GROUP))
        for pack in [v2, v1, gemm]:
            for part, value in pack(q, scale, zero).items():
                tensors[f"{name}.{pack.__name__}.{part}"] = np.ascontiguousarray(value)
    save_file(tensors, FIXTURE)


if __name__ == "__main__":
    main()
