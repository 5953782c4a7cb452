"""Weight files as `torch.save` writes them, good and hostile, for `archive.rs`; the good one's tensors once more as
safetensors, which other code reads."""

import collections
import io
import os
import pathlib
import zipfile

import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).parents[2] / "model_adapters/tests/fixtures/archives"


class Command:
    """An object whose unpickling runs a command."""

    def __reduce__(self):
        return os.system, ("true",)


def tensors():
    """Each type, and each way in which a tensor may lie in its storage."""
    base = torch.arange(24).reshape(4, 6)
    shared = (base * 0.5).half()
    return {
        "f32": base * 0.25,
        "f16": shared,
        "f16.shares": shared[1:3],
        "bf16": (base * 0.5).bfloat16(),
        "f64": base.double(),
        "i64": base.long(),
        "i32": base.int(),
        "i16": base.short(),
        "i8": base.to(torch.int8),
        "u8": base.byte(),
        "bool": base % 3 == 0,
        "transposed": (base * 0.25).t(),
        "column": (base * 0.25)[:, 2],
        "strided": (base.reshape(2, 3, 4) * 0.5).half().permute(2, 0, 1)[1:, :, ::2],
        "parameter": torch.nn.Parameter(base * 1.5),
        "scalar": torch.tensor(7.5),
        "empty": torch.zeros(0, 3),
        "one-row": (base * 0.25)[2:3].t().t(),
    }


def main():
    torch.manual_seed(0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = tensors()
    state = collections.OrderedDict(found)
    state._metadata = {"": {"version": 1}}
    torch.save(state, FOLDER / "good.bin")
    legacy = io.BytesIO()
    torch.save(dict(list(found.items())[:2]), legacy, _use_new_zipfile_serialization=False)
    # The rest holds addresses of this process.
    (FOLDER / "legacy.bin").write_bytes(legacy.getvalue()[:64])
    torch.save({"a": torch.zeros(2), "b": Command()}, FOLDER / "hostile.bin")
    torch.save([torch.zeros(2)], FOLDER / "list.bin")
    torch.save({"model": {"a": torch.zeros(2)}}, FOLDER / "nested.bin")
    torch.jit.script(torch.nn.Linear(2, 2)).save(FOLDER / "program.pt")
    with zipfile.ZipFile(FOLDER / "good.bin") as good, zipfile.ZipFile(FOLDER / "compressed.bin", "w") as out:
        for entry in good.infolist():
            out.writestr(zipfile.ZipInfo(entry.filename), good.read(entry), zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(FOLDER / "good.bin") as good, zipfile.ZipFile(FOLDER / "big-endian.bin", "w") as out:
        for entry in good.infolist():
            bytes_now = b"big" if entry.filename.endswith("byteorder") else good.read(entry)
            out.writestr(zipfile.ZipInfo(entry.filename), bytes_now)
    plain = {name: value.detach().clone().contiguous() for name, value in found.items()}
    save_file(plain, FOLDER / "good.safetensors")


if __name__ == "__main__":
    main()
