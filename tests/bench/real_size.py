"""Checkpoints of the published sizes, filled with noise: what loading and asking them costs on this machine.

Three are written, measured and deleted again, one after the other: one of llava-1.5-7b's shape (layout D, float16,
14.1 GB) and two of VILA1.5-3b's (layout B), which runs in float32: from bfloat16, as it is published (6.3 GB), and from
float32 (12.5 GB). The noise is one seeded block, repeated: what the model says means
nothing, how long it takes does. Figures: loading beside `cat` of the same files, from a cold page cache, once
more hashing the files in the same pass, as a checkpoint's first run does, and from a warm one; seconds to the first token; tokens per
second behind it; peak resident memory, mapped pages included, beside the weights.

Usage: python3 tests/bench/real_size.py target/release/examples/real_size [--only 7b|3b|3b-float32] [--folder DIR] [--keep]
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "fixtures" / "checkpoints"
SEED = 20260101
BLOCK_VALUES = 1 << 19
SHARD_BYTES = 5_000_000_000
# What the issue allows beside the weights, and loading beside `cat`.
BESIDE_THE_WEIGHTS = 3_000_000_000
LOADING_BESIDE_CAT = 1.3


def half(value):
    return struct.pack("<e", value)


def brain(value):
    return struct.pack("<f", value)[2:]


def single(value):
    return struct.pack("<f", value)


def blocks(pack):
    """Small noise for matrices, ones for the scales of norms."""
    generator = random.Random(SEED)
    noise = b"".join(pack(generator.uniform(-0.03, 0.03)) for _ in range(BLOCK_VALUES))
    return noise * 16, pack(1.0) * BLOCK_VALUES


def write_weights(folder, shapes, dtype, pack):
    """safetensors shards, with an index where there are several, as transformers writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    noise, ones = blocks(pack)
    shards, size = [[]], 0
    for name, shape in shapes.items():
        count = len(pack(0.0))
        for side in shape:
            count *= side
        if size + count > SHARD_BYTES and shards[-1]:
            shards.append([])
            size = 0
        shards[-1].append((name, shape, count))
        size += count
    names = ["model.safetensors"]
    if len(shards) > 1:
        names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
        index = {name: file for shard, file in zip(shards, names) for name, _, _ in shard}
        total = sum(count for shard in shards for _, _, count in shard)
        document = {"metadata": {"total_size": total}, "weight_map": index}
        (folder / "model.safetensors.index.json").write_text(json.dumps(document))
    for shard, file in zip(shards, names):
        header, at = {}, 0
        for name, shape, count in shard:
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + count]}
            at += count
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(folder / file, "wb", buffering=0) as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for name, shape, count in shard:
                source = ones if len(shape) == 1 and "norm" in name and name.endswith("weight") else noise
                while count:
                    count -= out.write(memoryview(source)[: min(count, len(source))])
            os.fsync(out.fileno())


def decoder(prefix, head, hidden, inner, layers, vocabulary):
    shapes = {f"{prefix}embed_tokens.weight": [vocabulary, hidden]}
    for layer in range(layers):
        at = f"{prefix}layers.{layer}."
        shapes[f"{at}input_layernorm.weight"] = [hidden]
        for part in ["q_proj", "k_proj", "v_proj", "o_proj"]:
            shapes[f"{at}self_attn.{part}.weight"] = [hidden, hidden]
        shapes[f"{at}post_attention_layernorm.weight"] = [hidden]
        shapes[f"{at}mlp.gate_proj.weight"] = [inner, hidden]
        shapes[f"{at}mlp.up_proj.weight"] = [inner, hidden]
        shapes[f"{at}mlp.down_proj.weight"] = [hidden, inner]
    return shapes | {f"{prefix}norm.weight": [hidden], head: [vocabulary, hidden]}


def tower_blocks(prefix, hidden, inner, layers):
    shapes = {}
    for layer in range(layers):
        parts = {"layer_norm1": [hidden], "layer_norm2": [hidden], "mlp.fc1": [inner, hidden], "mlp.fc2": [hidden, inner]}
        parts |= {f"self_attn.{part}": [hidden, hidden] for part in ["q_proj", "k_proj", "v_proj", "out_proj"]}
        for part, shape in parts.items():
            shapes[f"{prefix}encoder.layers.{layer}.{part}.weight"] = shape
            shapes[f"{prefix}encoder.layers.{layer}.{part}.bias"] = shape[:1]
    return shapes | {f"{prefix}post_layernorm.{end}": [hidden] for end in ["weight", "bias"]}


def config(source, **changes):
    return json.loads(source.read_text()) | changes


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_7b(folder):
    """llava-hf/llava-1.5-7b-hf, with the small vocabulary of the tests in front of its 32064 rows."""
    tiny = TINY / "tiny-llava-hf"
    for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]:
        shutil.copy(tiny / name, folder)
    tower = "vision_tower.vision_model."
    shapes = decoder("language_model.model.", "language_model.lm_head.weight", 4096, 11008, 32, 32064)
    shapes |= {
        f"{tower}embeddings.class_embedding": [1024],
        f"{tower}embeddings.patch_embedding.weight": [1024, 3, 14, 14],
        f"{tower}embeddings.position_embedding.weight": [577, 1024],
        f"{tower}pre_layrnorm.weight": [1024],
        f"{tower}pre_layrnorm.bias": [1024],
    }
    shapes |= tower_blocks(tower, 1024, 4096, 24)
    for number, inputs in [(1, 1024), (2, 4096)]:
        shapes[f"multi_modal_projector.linear_{number}.weight"] = [4096, inputs]
        shapes[f"multi_modal_projector.linear_{number}.bias"] = [4096]
    text = {"max_position_embeddings": 4096, "model_type": "llama", "rms_norm_eps": 1e-05, "vocab_size": 32064}
    vision = {"hidden_size": 1024, "image_size": 336, "intermediate_size": 4096, "model_type": "clip_vision_model"}
    vision |= {"num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768}
    write_json(folder / "config.json", config(tiny / "config.json", text_config=text, vision_config=vision))
    size = {"crop_size": {"height": 336, "width": 336}, "size": {"shortest_edge": 336}}
    write_json(folder / "preprocessor_config.json", config(tiny / "preprocessor_config.json", **size))
    # No end token: every answer has its eight tokens.
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 32063, "pad_token_id": 501})
    write_weights(folder, shapes, "F16", half)


def write_3b(folder, dtype="BF16", pack=brain):
    """Efficient-Large-Model/VILA1.5-3b, the vocabulary filled up to 32000 pieces."""
    tiny, hidden = TINY / "tiny-vila15", 2560
    llama = {"hidden_size": hidden, "intermediate_size": 6912, "num_hidden_layers": 32, "vocab_size": 32000}
    llama |= {"num_attention_heads": 20, "num_key_value_heads": 20, "rope_theta": 10000.0}
    vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
    vision |= {"image_size": 384, "patch_size": 14}
    size = {"size": {"height": 384, "width": 384}}
    changes = {"config.json": {}, "llm/config.json": llama, "vision_tower/config.json": vision, "mm_projector/config.json": {}}
    changes["vision_tower/preprocessor_config.json"] = size
    changes["llm/generation_config.json"] = {"eos_token_id": 31999}
    for name, change in changes.items():
        write_json(folder / name, config(tiny / name, **change))
    for name in ["tokenizer_config.json", "special_tokens_map.json"]:
        shutil.copy(tiny / "llm" / name, folder / "llm")
    # A serialised message may be continued: these are 31500 more pieces that no text contains.
    pieces = (tiny / "llm" / "tokenizer.model").read_bytes()
    for number in range(500, 32000):
        piece = f"\u2603{number}".encode()
        entry = b"\x0a" + bytes([len(piece)]) + piece + b"\x15" + struct.pack("<f", -1e6 - number)
        pieces += b"\x0a" + bytes([len(entry)]) + entry
    (folder / "llm" / "tokenizer.model").write_bytes(pieces)
    write_weights(folder / "llm", decoder("model.", "lm_head.weight", hidden, 6912, 32, 32000), dtype, pack)
    tower, merged = "vision_model.", 4 * 1152
    shapes = {
        f"{tower}embeddings.patch_embedding.weight": [1152, 3, 14, 14],
        f"{tower}embeddings.patch_embedding.bias": [1152],
        f"{tower}embeddings.position_embedding.weight": [729, 1152],
    }
    write_weights(folder / "vision_tower", shapes | tower_blocks(tower, 1152, 4304, 27), dtype, pack)
    shapes = {"layers.1.weight": [merged], "layers.1.bias": [merged], "layers.2.weight": [hidden, merged]}
    shapes |= {"layers.2.bias": [hidden], "layers.4.weight": [hidden, hidden], "layers.4.bias": [hidden]}
    write_weights(folder / "mm_projector", shapes, dtype, pack)


def write_3b_float32(folder):
    write_3b(folder, "F32", single)


def forget(files):
    """Drops the files from the page cache."""
    for file in files:
        with open(file, "rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cat(files):
    start = time.monotonic()
    with open(os.devnull, "wb") as nowhere:
        subprocess.run(["cat", *files], stdout=nowhere, check=True)
    return time.monotonic() - start


def measure(program, name, write, folder):
    folder.mkdir(parents=True)
    start = time.monotonic()
    write(folder)
    files = sorted(folder.rglob("*.safetensors"))
    weights = sum(file.stat().st_size for file in files)
    print(f"{name}: {weights / 1e9:.2f} GB written in {time.monotonic() - start:.0f} s", flush=True)
    picture = sorted((ROOT / "tests/fixtures/pope-demo/pope/val2014").glob("*.jpg"))[0]
    for state, hashing in [("cold", False), ("cold", True), ("warm", False)]:
        if state == "cold":
            forget(files)
        read = cat(files)
        if state == "cold":
            forget(files)
        else:
            read = cat(files)
        command = [program, str(folder), str(picture), *(["--hash"] if hashing else [])]
        out = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        found = json.loads(out.stdout)
        beside = found["peak_rss_bytes"] - weights
        ratio = found["load_s"] / read
        first = ", hashed in the same pass" if hashing else ""
        print(f"{name}, {state} cache, weights {found['keep']}{first}:")
        print(f"  loading          {found['load_s']:.2f} s, cat {read:.2f} s: ratio {ratio:.2f} (wanted: {LOADING_BESIDE_CAT})")
        if hashing:
            continue
        print(f"  first token      {found['first_token_s']:.1f} s, picture included")
        print(f"  tokens a second  {found['tokens_per_s']:.3f}, answer of {found['tokens']} in {found['answer_s']:.1f} s")
        print(
            f"  peak resident    {found['peak_rss_bytes'] / 1e9:.2f} GB: weights and {beside / 1e9:.2f} GB"
            f" (wanted where they stay as stored: {BESIDE_THE_WEIGHTS / 1e9:.0f})",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="the built example `real_size` of model_adapters")
    parser.add_argument("--only", choices=["7b", "3b", "3b-float32"])
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / ".bench" / "real-size")
    parser.add_argument("--keep", action="store_true", help="leave the checkpoints there")
    arguments = parser.parse_args()
    for name, write in [("3b", write_3b), ("3b-float32", write_3b_float32), ("7b", write_7b)]:
        if arguments.only not in (None, name):
            continue
        folder = arguments.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        free = shutil.disk_usage(ROOT).free
        if free < 20_000_000_000:
            sys.exit(f"{free / 1e9:.0f} GB are free on this disk: real_size.py needs 20")
        try:
            measure(arguments.program, name, write, folder)
        finally:
            if not arguments.keep:
                shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
