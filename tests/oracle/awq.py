"""Packs two small linears of four bits in each AWQ format, and unpacks them the plain way, for `awq.rs`."""

import pathlib

import numpy as np
from safetensors.numpy import save_file

from tiny.awq import GROUP, PACKINGS

FIXTURE = pathlib.Path(__file__).parents[2] / "model_adapters/tests/fixtures/awq.safetensors"


def main():
    generator = np.random.RandomState(4)
    tensors = {}
    for name, n, k in [("wide", 8, 1152), ("square", 128, 128)]:
        q = generator.randint(0, 16, (n, k))
        scale = (0.002 + 0.02 * generator.random_sample((n, k // GROUP))).astype(np.float16)
        zero = generator.randint(0, 16, (n, k // GROUP))
        for packing, pack in PACKINGS.items():
            for part, value in pack(q, scale, zero).items():
                tensors[f"{name}.{packing}.{part}"] = np.ascontiguousarray(value)
    save_file(tensors, FIXTURE)


if __name__ == "__main__":
    main()
