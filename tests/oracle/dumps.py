"""Runs dump.py on a tiny checkpoint of every layout, and on one whose projector is `identity`, for `dumps.rs`.

    python tests/oracle/dumps.py
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "tests" / "fixtures" / "checkpoints"
TARGET = ROOT / "model_adapters" / "tests" / "fixtures" / "dumps"

PICTURE, QUESTION = "grey.jpg", "Is there a cat?"
# Layouts A, B, C and D. In 16 bits a dump is half as large.
DUMPS = [
    ("tiny-vila-7b", "float16", ["--vision-tower", "clip-vit-tiny-patch14-42"]),
    ("tiny-llama-3-vila1.5-8b", "float32", ["--template", "llama_3_2405"]),
    ("tiny-llava-v1.5", "float16", ["--vision-tower", "clip-vit-tiny-patch14-56"]),
    ("tiny-llava-hf", "float32", []),
]


def dump(folder, name, dtype, options):
    options = [folder / option if option.startswith("clip-") else option for option in options]
    script = pathlib.Path(__file__).with_name("dump.py")
    arguments = ["--picture", CHECKPOINTS / "pictures" / PICTURE, "--question", QUESTION, "--dtype", dtype]
    out = ["--out", TARGET / f"{name}.safetensors"]
    subprocess.run([sys.executable, script, folder, *arguments, *options, *out], check=True)


def main():
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    for name, dtype, options in DUMPS:
        dump(CHECKPOINTS / name, name, dtype, options)
    # Its tower is as wide as its decoder, so that the projector can be left out.
    name = "tiny-llava-v1.5"
    with tempfile.TemporaryDirectory() as parent:
        folder = pathlib.Path(parent) / name
        shutil.copytree(CHECKPOINTS / name, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"mm_projector_type": "identity"}))
        dump(folder, "identity", "float16", ["--vision-tower", "clip-vit-tiny-patch14-56"])


if __name__ == "__main__":
    main()
