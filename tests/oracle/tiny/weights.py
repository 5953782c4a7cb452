"""Random weights, and reading a written module back."""

import math

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

from tiny.files import write_json
from tiny.tokenizer import EOS, PIECES


def sentencepiece_head(value):
    """Rare control tokens and bytes, a frequent enough end, no token beyond the vocabulary."""
    value[: EOS + 1] *= torch.tensor([[0.1], [0.1], [1.3]])
    value[3:259] *= 0.7
    value[PIECES:] *= 0.05


def random_weights(shapes, seed, dtype, head=sentencepiece_head):
    """Draws each tensor, in the order of names, at a scale that keeps activations near 1 and attention selective."""
    # The one generator whose stream numpy guarantees from version to version.
    generator = np.random.RandomState(seed)
    weights = {}
    for name in sorted(shapes):
        shape = shapes[name]
        value = torch.from_numpy(generator.standard_normal(tuple(shape))).float()
        if name.endswith("lm_head.weight"):
            value *= 4 / math.sqrt(shape[-1])
            head(value)
        elif name.endswith(("embed_tokens.weight", "class_embedding", "probe")):
            pass
        elif "position_embedding" in name:
            value *= 0.3
        elif name.endswith("bias"):
            value *= 0.1
        elif value.dim() == 1:
            value = 1 + 0.1 * value
        else:
            gain = 1.6 if "q_proj" in name or "k_proj" in name else 1.2
            value *= gain / math.sqrt(value[0].numel())
        weights[name] = value.to(dtype)
    return weights


HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def load(model_class, folder, dtype=torch.float32, attention="eager"):
    """The model as transformers reads it from the files, in `dtype`; no tensor may be missing or left over."""
    model, info = model_class.from_pretrained(
        folder, dtype=dtype, attn_implementation=attention, output_loading_info=True
    )
    assert not any(info.values()), info
    return model.eval()


def filled(model_class, folder, weights, dtype=torch.float32, attention="eager"):
    """The model of a folder's configuration with `weights`, which are not in its files as they stand."""
    config = model_class.config_class.from_pretrained(folder)
    vars(config).pop("quantization_config", None)
    model = model_class._from_config(config, attn_implementation=attention).float()
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    model.generation_config = transformers.GenerationConfig.from_pretrained(folder)
    # The parameters alone: the rotary frequencies stay in float32, as they do in the references.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model.eval()


def write_safetensors(folder, weights, shards=1):
    """`model.safetensors`, or that many shards and their index."""
    if shards == 1:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return
    names, weight_map = list(weights), {}
    for number in range(shards):
        own = names[number * len(names) // shards : (number + 1) * len(names) // shards]
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        save_file({name: weights[name] for name in own}, folder / file, {"format": "pt"})
        weight_map |= {name: file for name in own}
    total = sum(value.numel() * value.element_size() for value in weights.values())
    write_json(
        folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map}
    )
