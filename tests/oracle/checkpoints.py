"""Tiny random checkpoints, five pictures, and what the reference programs make of them.

Writes tests/fixtures/checkpoints; the README.md there explains every file and tensor. The weights are drawn from a
fixed seed, rounded to 16 bit and written; the expectations come from the written files, computed in float32.

    python tests/oracle/checkpoints.py               write the fixtures
    python tests/oracle/checkpoints.py --search 50   try seeds 0 to 49 for each checkpoint, write nothing
    Names behind either do so for these checkpoints only.
"""

import argparse
import os
import pathlib
import shutil
import tempfile

# Before libtorch is loaded: the kernels that every processor has, so that 16 bits come out the same on each.
os.environ |= dict(ATEN_CPU_CAPABILITY="avx2", ONEDNN_MAX_CPU_ISA="AVX2")

import torch
import transformers
from safetensors.torch import save_file

from tiny import llava15, llava_hf, vila15
from tiny.decoding import MAX_NEW_TOKENS
from tiny.files import write_json
from tiny.pictures import write_pictures
from tiny.tokenizer import sentencepiece_model

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "checkpoints"
CHECKPOINTS = [
    (llava_hf.PLAIN, "tiny-llava-hf", 19),
    (llava_hf.AWQ, "tiny-llava-hf-awq", 20),
    (llava15.LLAVA_15, "tiny-llava-v1.5", 1),
    (llava15.VILA_7B, "tiny-vila-7b", 33),
    (llava15.VILA_7B_AWQ, "tiny-vila-7b-awq", 1),
    (vila15.PLAIN, "tiny-vila15", 2),
    (vila15.S2, "tiny-vila1.5-3b-s2", 2),
    (vila15.AWQ, "tiny-vila1.5-3b-awq", 3),
    (vila15.LLAMA_3, "tiny-llama-3-vila1.5-8b", 17),
    (vila15.LLAMA_3_FIX, "tiny-llama-3-vila1.5-8b-fix", 16),
    (vila15.VICUNA_13B, "tiny-vila1.5-13b", 37),
    (vila15.YI, "tiny-vila1.5-40b", 31),
]

# What a seed must give: no float32 noise (about 1e-5) can flip a token, no two answers are equal, most are long enough
# to exercise the KV cache, some end by themselves, some hold more than ASCII.
SMALLEST_MARGIN = 0.02
SHARE_OF_DISTINCT_TOKENS = 0.3
LONG_ANSWER = 8


def faults(cases):
    """Why these cases make no good test; empty where they do."""
    answers = [tuple(case["tokens"]) for case in cases]
    tokens = [token for answer in answers for token in answer]
    found = []
    if min(case["smallest_margin"] for case in cases) < SMALLEST_MARGIN:
        found.append("margin")
    if len(set(answers)) < len(answers) or len({answer[0] for answer in answers}) < len(answers) / 2:
        found.append("answers")
    if len(set(tokens)) < SHARE_OF_DISTINCT_TOKENS * len(tokens):
        found.append("tokens")
    if sum(len(answer) >= LONG_ANSWER for answer in answers) < len(answers) / 2:
        found.append("short")
    if sum(case["finish"] == "end-token" and len(case["tokens"]) > 1 for case in cases) == 0:
        found.append("end")
    if all(case["text"].isascii() for case in cases):
        found.append("ascii")
    return found


def make(module, folder, seed, pictures):
    """Writes one checkpoint and returns what is expected of it."""
    module.write(folder, seed, sentencepiece_model())
    return module.expect(folder, pictures)


def write(module, name, seed, pictures):
    """One checkpoint with its `expected` folder."""
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    cases, tensors, picture_rows = make(module, folder, seed, pictures)
    assert not faults(cases), f"{name}: {faults(cases)}: search for another seed"
    assert all(value.isfinite().all() for value in tensors.values())
    write_json(
        folder / "expected" / "cases.json",
        {
            "picture_token": module.PICTURE_TOKEN,
            "picture_rows": picture_rows,
            "max_new_tokens": MAX_NEW_TOKENS,
            "cases": cases,
        },
    )
    tensors = {tensor: value.contiguous() for tensor, value in tensors.items()}
    save_file(tensors, folder / "expected" / "expected.safetensors")


def search(checkpoints, seeds):
    """Prints, for each checkpoint and seed, what speaks against it."""
    for module, name, _ in checkpoints:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as temporary:
                folder = pathlib.Path(temporary)
                cases, _, _ = make(module, folder / name, seed, write_pictures(folder / "pictures"))
            margin = min(case["smallest_margin"] for case in cases)
            print(name, seed, margin, *faults(cases), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--search", type=int, metavar="N", help="try N seeds instead of writing")
    parser.add_argument("names", nargs="*", choices=[[], *(name for _, name, _ in CHECKPOINTS)], help="default: all")
    arguments = parser.parse_args()
    checkpoints = [entry for entry in CHECKPOINTS if not arguments.names or entry[1] in arguments.names]
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if arguments.search:
        search(checkpoints, arguments.search)
        return
    pictures = write_pictures(FIXTURES / "pictures")
    for module, name, seed in checkpoints:
        write(module, name, seed, pictures)


if __name__ == "__main__":
    main()
