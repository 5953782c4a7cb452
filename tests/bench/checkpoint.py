"""The checkpoint of the speed bench: LLaVA layout D, CLIP at 336 px with 12 blocks, a decoder 768 wide with 12 blocks.

About 172 million random weights from a fixed seed, float16 on disk. The scales keep activations near 1 and attention
selective, so that answers depend on picture and question. The vocabulary is Llama 2's, read from the reference data
and written into the bench's own folder only.
"""

import json
import math

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

SEED = 20260102
VOCABULARY = 32_064
PICTURE_TOKEN, PAD_TOKEN = 32_000, 32_001
DECODER = dict(
    model_type="llama",
    hidden_size=768,
    intermediate_size=2048,
    num_hidden_layers=12,
    num_attention_heads=12,
    num_key_value_heads=12,
    max_position_embeddings=4096,
    rms_norm_eps=1e-05,
    vocab_size=VOCABULARY,
    torch_dtype="float16",
)
TOWER = dict(
    model_type="clip_vision_model",
    hidden_size=512,
    intermediate_size=2048,
    num_hidden_layers=12,
    num_attention_heads=8,
    image_size=336,
    patch_size=14,
    projection_dim=512,
)
LLAVA = dict(
    architectures=["LlavaForConditionalGeneration"],
    model_type="llava",
    ignore_index=-100,
    image_token_index=PICTURE_TOKEN,
    pad_token_id=PAD_TOKEN,
    projector_hidden_act="gelu",
    text_config=DECODER,
    vision_config=TOWER,
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


def weights(shapes):
    generator = np.random.RandomState(SEED)
    drawn = {}
    for name in sorted(shapes):
        shape = shapes[name]
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
            gain = 1.6 if "q_proj" in name or "k_proj" in name else 1.2
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


def write(folder, tokenizer_model):
    """Writes the checkpoint unless it is there."""
    if (folder / "tokenizer.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with torch.device("meta"):
        model = transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(**LLAVA))
    shapes = {old_spelling(name): value.shape for name, value in model.state_dict().items()}
    save_file(weights(shapes), folder / "model.safetensors", {"format": "pt"})
    generation = dict(bos_token_id=1, eos_token_id=2, pad_token_id=PAD_TOKEN)
    for name, value in [
        ("config", LLAVA),
        ("preprocessor_config", PROCESSOR),
        ("generation_config", generation),
    ]:
        (folder / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n")
    slow = transformers.LlamaTokenizer(str(tokenizer_model), legacy=False)
    fast = transformers.LlamaTokenizerFast(tokenizer_object=transformers.convert_slow_tokenizer.convert_slow_tokenizer(slow))
    fast.add_special_tokens({"additional_special_tokens": ["<image>"], "pad_token": "<pad>"})
    fast.save_pretrained(folder)
