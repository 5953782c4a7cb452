"""The checkpoints of the speed bench, in LLaVA's layout D, float16 on disk.

SMALL: CLIP at 336 px with 12 blocks, a decoder 768 wide with 12 blocks, about 172 million random weights from a fixed
seed. The scales keep activations near 1 and attention selective, so that answers depend on picture and question.
LARGE: CLIP-L and a decoder of VILA1.5-3B's shape; one block of a million random numbers is repeated in every matrix,
which is quick to draw. The vocabulary is Llama 2's, read from the reference data and written into the bench's own
folder only.
"""

import json
import math
from dataclasses import dataclass

import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file

SEED = 20260102
VOCABULARY = 32_064
PICTURE_TOKEN, PAD_TOKEN = 32_000, 32_001
# A prime: no two rows of a matrix begin at the same place of the block.
BLOCK = 1_000_003


def decoder(width, inner, layers, heads):
    return dict(
        model_type="llama",
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=4096,
        rms_norm_eps=1e-05,
        vocab_size=VOCABULARY,
        torch_dtype="float16",
    )


def tower(width, inner, layers, heads):
    return dict(
        model_type="clip_vision_model",
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=336,
        patch_size=14,
        projection_dim=512,
    )


@dataclass
class Shape:
    tower: dict
    decoder: dict
    repeated: bool


SMALL = Shape(tower(512, 2048, 12, 8), decoder(768, 2048, 12, 12), repeated=False)
LARGE = Shape(tower(1024, 4096, 24, 16), decoder(2560, 6912, 32, 20), repeated=True)


def config(shape):
    return dict(
        architectures=["LlavaForConditionalGeneration"],
        model_type="llava",
        ignore_index=-100,
        image_token_index=PICTURE_TOKEN,
        pad_token_id=PAD_TOKEN,
        projector_hidden_act="gelu",
        text_config=shape.decoder,
        vision_config=shape.tower,
        tie_word_embeddings=False,
        torch_dtype="float16",
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        vocab_size=VOCABULARY,
    )


PROCESSOR = dict(
    crop_size=dict(height=336, width=336),
    do_center_crop=True,
    do_convert_rgb=True,
    do_normalize=True,
    do_rescale=True,
    do_resize=True,
    image_mean=[0.48145466, 0.4578275, 0.40821073],
    image_std=[0.26862954, 0.26130258, 0.27577711],
    image_processor_type="CLIPImageProcessor",
    processor_class="LlavaProcessor",
    resample=3,
    rescale_factor=0.00392156862745098,
    size=dict(shortest_edge=336),
)


def weights(shapes, repeated):
    generator = np.random.RandomState(SEED)
    block = torch.from_numpy(generator.standard_normal(BLOCK).astype(np.float32)) if repeated else None
    drawn = {}
    for name in sorted(shapes):
        shape = shapes[name]
        if repeated:
            count = shape.numel()
            start = generator.randint(BLOCK)
            value = block.roll(-start).repeat(count // BLOCK + 1)[:count].reshape(shape)
        else:
            value = torch.from_numpy(generator.standard_normal(tuple(shape)).astype(np.float32))
        if name.endswith("lm_head.weight"):
            value *= 4 / math.sqrt(shape[-1])
        elif name.endswith("position_embedding.weight"):
            value *= 0.3
        elif name.endswith("bias"):
            value *= 0.1
        elif value.dim() == 1 and "class_embedding" not in name:
            value = 1 + 0.1 * value
        elif value.dim() > 1 and not name.endswith("embed_tokens.weight"):
            gain = 2.4 if "q_proj" in name or "k_proj" in name else 1.2
            value *= gain / math.sqrt(value[0].numel())
        drawn[name] = value.half()
    return drawn


def old_spelling(name):
    """The names that the published llava-hf files hold."""
    for new, old in [
        ("model.language_model.", "language_model.model."),
        ("lm_head.", "language_model.lm_head."),
        ("model.vision_tower.", "vision_tower."),
        ("model.multi_modal_projector.", "multi_modal_projector."),
    ]:
        if name.startswith(new):
            return old + name[len(new) :]
    raise ValueError(name)


def write(folder, tokenizer_model, shape):
    """Writes a checkpoint of `shape` unless it is there."""
    if (folder / "tokenizer.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with torch.device("meta"):
        model = transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(**config(shape)))
    shapes = {old_spelling(name): value.shape for name, value in model.state_dict().items()}
    save_file(weights(shapes, shape.repeated), folder / "model.safetensors", {"format": "pt"})
    generation = dict(bos_token_id=1, eos_token_id=2, pad_token_id=PAD_TOKEN)
    for name, value in [
        ("config", config(shape)),
        ("preprocessor_config", PROCESSOR),
        ("generation_config", generation),
    ]:
        (folder / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n")
    slow = transformers.LlamaTokenizer(str(tokenizer_model), legacy=False)
    fast = transformers.LlamaTokenizerFast(tokenizer_object=transformers.convert_slow_tokenizer.convert_slow_tokenizer(slow))
    fast.add_special_tokens({"additional_special_tokens": ["<image>"], "pad_token": "<pad>"})
    fast.save_pretrained(folder)


def mebibytes(folder, bytes_of_a_weight):
    """What its weights take with so many bytes each."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        weights = sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())
    return weights * bytes_of_a_weight / 2**20
