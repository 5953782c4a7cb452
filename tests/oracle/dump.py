"""What transformers computes on a checkpoint for one picture and one question, layer by layer, as a safetensors file.

    .oracle/bin/python tests/oracle/dump.py CKPT --picture FILE --question TEXT --out dump.safetensors
    target/release/vila-bench doctor --parity CKPT --reference dump.safetensors

Reads llava-hf checkpoints, VILA1.5 folders (SigLIP, S2, CLIP or InternViT) and LLaVA-1.5 / VILA v1 folders, the latter
with --vision-tower; all of them with AWQ's four bits too, which are unpacked to float16 first. The towers, the merge of
patches and the splicing that transformers lacks come from `tiny/`. The format is described in `results/FORMATS.md`.
"""

import argparse
import json
import pathlib

import torch
import transformers
from safetensors.torch import load_file, save_file

from tiny import clip, intern_vit, llava_hf, s2, vila15
from tiny.awq import plain_state
from tiny.pictures import expand2square, open_rgb, processed
from tiny.tokenizer import PICTURE_MARKER, tokenizer_image_token
from tiny.weights import HALVES, filled

DTYPES = {"float32": torch.float32} | HALVES
TEMPLATES = {
    "vicuna_v1": vila15.VICUNA,
    "hermes-2": vila15.HERMES,
    "llama_3_2405": vila15.LLAMA_3_MAY,
    "llama_3_2409": vila15.LLAMA_3_SEPTEMBER,
    "llava-hf": "USER: {message} ASSISTANT:",
}


def read_json(path):
    return json.loads(path.read_text()) if path.exists() else {}


def tensors_of(folder):
    """All tensors of a folder, from safetensors or PyTorch shards, or from AWQ's `.pt`; those of four bits unpacked."""
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    for pattern in ["pytorch_model*.bin", "*.pt"]:
        for file in [] if found else sorted(folder.glob(pattern)):
            found |= torch.load(file, map_location="cpu", weights_only=True)
    return plain_state(found)


class Seen:
    """The states by name, and hooks that gather those of a decoder."""

    def __init__(self):
        self.states = {}

    def tower(self, states):
        self.states |= {f"tower.{n}": state for n, state in enumerate(states)}

    def decoder(self, llama, spliced, head):
        """Runs the decoder; HF's own list of hidden states ends behind the final norm, so the blocks are hooked."""
        self.states["decoder.0"] = spliced
        for n, layer in enumerate(llama.layers):
            layer.register_forward_hook(
                lambda _module, _inputs, out, n=n: self.states.update(
                    {f"decoder.{n + 1}": (out[0] if isinstance(out, tuple) else out)[0]}
                )
            )
        last = llama(inputs_embeds=spliced[None]).last_hidden_state[0, -1]
        self.states["logits"] = head(last).float()


def llava_hf_parts(folder, dtype, attention):
    kind = transformers.LlavaForConditionalGeneration
    if "quantization_config" in read_json(folder / "config.json"):
        stored = tensors_of(folder)
        names = kind(transformers.LlavaConfig.from_pretrained(folder, quantization_config={})).state_dict()
        weights = {name: stored[llava_hf.old_spelling(name)] for name in names}
        model = filled(kind, folder, weights, dtype, attention)
    else:
        model = kind.from_pretrained(folder, dtype=dtype, attn_implementation=attention).eval()
    processor = transformers.CLIPImageProcessor.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    image = model.config.image_token_index
    # The layout's one selection in use: the state before the last block, without the class token.
    assert model.config.vision_feature_layer == -2 and model.config.vision_feature_select_strategy == "default"
    weights = {
        name.removeprefix("vision_model."): value for name, value in model.model.vision_tower.state_dict().items()
    }
    config = model.config.vision_config.to_dict()

    def tokens(prompt):
        return [PICTURE_MARKER if i == image else i for i in tokenizer(prompt).input_ids]

    def tower(seen, pixels):
        states = clip.hidden_states(pixels, weights, config)[:-1]
        seen.tower(states)
        return states[-1][1:]

    return {
        "pixels": lambda picture: processed(processor, picture)[1],
        "tokens": tokens,
        "tower": tower,
        "project": model.model.multi_modal_projector,
        "llama": model.model.language_model,
        "head": model.lm_head,
    }


def siglip_tower(folder, dtype):
    tower = transformers.SiglipVisionModel.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
    return lambda pixels: tower(pixels[None], output_hidden_states=True).hidden_states


def clip_tower(folder, dtype):
    tower = transformers.CLIPVisionModel.from_pretrained(folder, dtype=dtype).eval()
    weights = {name.removeprefix("vision_model."): value for name, value in tower.state_dict().items()}
    return lambda pixels: [state[None] for state in clip.hidden_states(pixels, weights, tower.config.to_dict())]


def intern_tower(folder, dtype):
    config, weights = read_json(folder / "config.json"), tensors_of(folder)
    weights = {name: value.to(dtype) for name, value in weights.items()}
    return lambda pixels: [state[None] for state in intern_vit.hidden_states(pixels, weights, config)]


def projector(kind, weights, dtype):
    """`weights` by the names of layout B."""
    weights = {name: value.to(dtype) for name, value in weights.items()}
    if kind == "identity":
        return lambda states: states
    if kind == "mlp_downsample":
        return lambda states: vila15.mlp_downsample(states, weights)
    numbers = sorted({int(name.split(".")[1]) for name in weights})

    def project(x):
        for place, number in enumerate(numbers):
            x = torch.nn.functional.gelu(x) if place else x
            x = torch.nn.functional.linear(x, weights[f"layers.{number}.weight"], weights[f"layers.{number}.bias"])
        return x

    return project


def vila(folder, dtype, attention, vision_tower):
    """Layout B, and layouts A and C whose tower lies elsewhere."""
    config = read_json(folder / "config.json")
    if (folder / "llm").is_dir():
        llm, vision = folder / "llm", folder / "vision_tower"
        if any(llm.glob("*.pt")):
            llama = filled(transformers.LlamaForCausalLM, llm, tensors_of(llm), dtype, attention)
        else:
            kind = transformers.LlamaForCausalLM
            llama = kind.from_pretrained(llm, dtype=dtype, attn_implementation=attention).eval()
        kind = read_json(folder / "mm_projector" / "config.json")["mm_projector_type"]
        project = projector(kind, tensors_of(folder / "mm_projector"), dtype)
    else:
        llm, vision = folder, vision_tower
        assert vision, "the tower lies outside this checkpoint: give --vision-tower"
        weights = tensors_of(folder)
        llama_config = transformers.LlamaConfig(**{k: v for k, v in config.items() if k not in ("architectures", "model_type")})
        llama_config._attn_implementation = attention
        llama = transformers.LlamaForCausalLM(llama_config).eval()
        decoder = {k: v for k, v in weights.items() if not k.startswith(("model.mm_projector", "model.vision_tower"))}
        # The parameters alone: the rotary frequencies stay in float32.
        for parameter in llama.parameters():
            parameter.data = parameter.data.to(dtype)
        missing, unexpected = llama.load_state_dict(decoder, strict=False)
        assert not missing and all("inv_freq" in name for name in unexpected), (missing, unexpected)
        prefix = "model.mm_projector."
        kind = config.get("mm_projector_type", "linear")
        own = {f"layers.{k.removeprefix(prefix)}": v for k, v in weights.items() if k.startswith(prefix)}
        project = projector(kind, own, dtype)
    vision_config = read_json(vision / "config.json")
    name = (vision_config.get("architectures") or ["CLIPVisionModel"])[0].lower()
    # The hub's file of a whole CLIP model keeps the tower's values inside.
    side = vision_config.get("vision_config", vision_config)["image_size"]
    scales = [int(scale) for scale in config["s2_scales"].split(",")] if config.get("s2") else []
    whole = max(scales, default=side)
    if "intern" in name:
        load, pixels = intern_tower, lambda picture: vila15.YI.tower.pixels(picture, whole)[1]
    elif "siglip" in name:
        load, kind = siglip_tower, transformers.SiglipImageProcessor
        size = {"height": whole, "width": whole}
        pixels = lambda picture: processed(kind.from_pretrained(vision, size=size), picture)[1]
    else:
        load, kind = clip_tower, transformers.CLIPImageProcessor
        pixels = lambda picture: processed(kind.from_pretrained(vision), picture)[1]
    states_of = load(vision, dtype)
    layer, feature = config["mm_vision_select_layer"], config["mm_vision_select_feature"]

    def one(seen, x):
        states = states_of(x)
        number = layer % len(states)
        if seen:
            seen.tower([state[0] for state in states[: number + 1]])
        return states[number][0][1 if feature == "patch" else 0 :]

    def tower(seen, x):
        # Behind S2 the states of single tiles are not dumped: only what is put together again.
        return s2.features(x, scales, side, lambda tile: one(None, tile)) if scales else one(seen, x)

    def geometry(picture):
        if config.get("image_aspect_ratio") == "resize":
            return picture.resize((whole, whole))
        if config.get("image_aspect_ratio") == "pad":
            mean = read_json(vision / "preprocessor_config.json")["image_mean"]
            return expand2square(picture, tuple(int(255 * value) for value in mean))
        return picture

    fast = (llm / "tokenizer.json").exists() and not (llm / "tokenizer.model").exists()
    if fast:
        tokenizer = transformers.AutoTokenizer.from_pretrained(llm)
    else:
        # LLaVA leaves `legacy` to the files, VILA does not.
        stated = {"legacy": False} if "vila" in folder.name.lower() or llm != folder else {}
        tokenizer = transformers.LlamaTokenizer.from_pretrained(llm, **stated)
    if len(tokenizer) < llama.config.vocab_size:
        llama.resize_token_embeddings(len(tokenizer))
    return {
        "pixels": lambda picture: pixels(geometry(picture)),
        "tokens": lambda prompt: tokenizer_image_token(tokenizer, prompt),
        "tower": tower,
        "project": project,
        "llama": llama.model,
        "head": llama.lm_head,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--picture", type=pathlib.Path, required=True)
    parser.add_argument("--question", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--template", choices=TEMPLATES, help="default: llava-hf for its layout, else vicuna_v1")
    parser.add_argument("--vision-tower", type=pathlib.Path)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    dtype = DTYPES[arguments.dtype]
    attention = "eager" if dtype == torch.float32 else "sdpa"
    names = read_json(arguments.checkpoint / "config.json").get("architectures")
    if names == ["LlavaForConditionalGeneration"]:
        parts, template = llava_hf_parts(arguments.checkpoint, dtype, attention), "llava-hf"
    else:
        parts, template = vila(arguments.checkpoint, dtype, attention, arguments.vision_tower), "vicuna_v1"
    prompt = TEMPLATES[arguments.template or template].format(message=f"<image>\n{arguments.question}")

    seen = Seen()
    pixels = parts["pixels"](open_rgb(arguments.picture))
    features = parts["tower"](seen, pixels.to(dtype))
    rows = parts["project"](features)
    ids, embed = parts["tokens"](prompt), parts["llama"].get_input_embeddings()
    at = ids.index(PICTURE_MARKER)
    spliced = torch.cat([embed(torch.tensor(ids[:at])), rows, embed(torch.tensor(ids[at + 1 :]))])
    seen.decoder(parts["llama"], spliced, parts["head"])
    tensors = seen.states | {
        "picture": torch.frombuffer(bytearray(arguments.picture.read_bytes()), dtype=torch.uint8),
        "prompt_ids": torch.tensor(ids),
        "pixels": pixels,
        "tower": features,
        "projector": rows,
    }
    metadata = {
        "format": "1",
        "question": arguments.question,
        "dtype": arguments.dtype,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    save_file({name: value.clone().contiguous() for name, value in tensors.items()}, arguments.out, metadata)


if __name__ == "__main__":
    main()
