"""tiny-vila15: layout B. The reference is put together from transformers' tower and decoder as VILA-1.5 does."""

import math

import torch
import transformers
from safetensors.torch import load_file, save_file

from tiny.decoding import MAX_NEW_TOKENS, finished_case, greedy
from tiny.files import write_json
from tiny.pictures import open_rgb, processed
from tiny.text import QUESTIONS
from tiny.tokenizer import BOS, EOS, PICTURE_MARKER, PIECES, tokenizer_image_token, write_tokenizer_config
from tiny.weights import load, random_weights

PICTURE_TOKEN = PICTURE_MARKER
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "hidden_act": "silu",
    "hidden_size": 60,
    "initializer_range": 0.02,
    "intermediate_size": 144,
    "max_position_embeddings": 4096,
    "model_max_length": 4096,
    "model_type": "llama",
    "num_attention_heads": 6,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 50000.0,
    "tie_word_embeddings": False,
    "tokenizer_model_max_length": 4096,
    "tokenizer_padding_side": "right",
    "torch_dtype": "bfloat16",
    "transformers_version": "4.36.2",
    "use_cache": True,
    "vocab_size": PIECES,
}
SIGLIP = {
    "architectures": ["SiglipVisionModel"],
    "attention_dropout": 0.0,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_size": 40,
    "image_size": 30,
    "intermediate_size": 96,
    "layer_norm_eps": 1e-06,
    "model_type": "siglip_vision_model",
    "num_attention_heads": 4,
    "num_channels": 3,
    "num_hidden_layers": 3,
    "patch_size": 4,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.36.2",
}
PROJECTOR = {
    "architectures": ["MultimodalProjector"],
    "mm_projector_type": "mlp_downsample",
    "model_type": "v2l_projector",
    "torch_dtype": "bfloat16",
    "transformers_version": "4.36.2",
}
VILA = {
    "architectures": ["LlavaLlamaModel"],
    "drop_path_rate": 0.0,
    "hidden_size": LLAMA["hidden_size"],
    "image_aspect_ratio": "resize",
    "interpolate_mode": "linear",
    "llm_cfg": LLAMA,
    "mm_hidden_size": SIGLIP["hidden_size"],
    "mm_projector_cfg": PROJECTOR,
    "mm_projector_lr": None,
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "cls_patch",
    "mm_vision_select_layer": -2,
    "model_dtype": "torch.bfloat16",
    "model_type": "llava_llama",
    "num_video_frames": 8,
    "resume_path": "./vlm",
    "s2": False,
    "s2_max_split_size": 336,
    "s2_scales": "336,672,1008",
    "transformers_version": "4.36.2",
    "tune_language_model": True,
    "tune_mm_projector": True,
    "tune_vision_tower": True,
    "vision_resolution": -1,
    "vision_tower_cfg": SIGLIP,
}
SIGLIP_PROCESSOR = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "SiglipProcessor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": SIGLIP["image_size"], "width": SIGLIP["image_size"]},
}


def write(folder, seed, model_bytes):
    """The checkpoint as VILA's `save_pretrained` lays it out: one folder per module, bfloat16."""
    merged, hidden = 4 * SIGLIP["hidden_size"], LLAMA["hidden_size"]
    llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA))
    tower = transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**SIGLIP))
    modules = {
        "llm": {name: value.shape for name, value in llama.state_dict().items()},
        "vision_tower": {name: value.shape for name, value in tower.state_dict().items()},
        "mm_projector": {
            "layers.1.weight": (merged,),
            "layers.1.bias": (merged,),
            "layers.2.weight": (hidden, merged),
            "layers.2.bias": (hidden,),
            "layers.4.weight": (hidden, hidden),
            "layers.4.bias": (hidden,),
        },
    }
    for number, (module, shapes) in enumerate(modules.items()):
        (folder / module).mkdir(parents=True, exist_ok=True)
        weights = random_weights(shapes, 10 * seed + number, torch.bfloat16)
        save_file(weights, folder / module / "model.safetensors", {"format": "pt"})
    write_json(folder / "config.json", VILA)
    write_json(folder / "llm" / "config.json", LLAMA)
    write_json(folder / "vision_tower" / "config.json", SIGLIP)
    write_json(folder / "vision_tower" / "preprocessor_config.json", SIGLIP_PROCESSOR)
    write_json(folder / "mm_projector" / "config.json", PROJECTOR)
    write_json(
        folder / "llm" / "generation_config.json",
        {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": 0, "transformers_version": "4.36.2"},
    )
    (folder / "llm" / "tokenizer.model").write_bytes(model_bytes)
    write_tokenizer_config(
        folder / "llm",
        {0: "<unk>", 1: "<s>", 2: "</s>"},
        pad_token="<unk>",
        padding_side="right",
        model_max_length=4096,
        spaces_between_special_tokens=False,
    )


def mlp_downsample(states, weights):
    """Merges 2 x 2 patches, cells column by column, zeros appended below and at the right before the LayerNorm."""
    side, width = math.isqrt(states.shape[0]), states.shape[1]
    even = side + side % 2
    grid = torch.zeros(even, even, width, dtype=states.dtype)
    grid[:side, :side] = states.reshape(side, side, width)
    cells = []
    for column in range(0, even, 2):
        for row in range(0, even, 2):
            corners = [(row, column), (row, column + 1), (row + 1, column), (row + 1, column + 1)]
            cells.append(torch.cat([grid[y, x] for y, x in corners]))
    x = torch.stack(cells)
    functional = torch.nn.functional
    x = functional.layer_norm(x, x.shape[-1:], weights["layers.1.weight"], weights["layers.1.bias"], 1e-5)
    x = functional.linear(x, weights["layers.2.weight"], weights["layers.2.bias"])
    return functional.linear(functional.gelu(x), weights["layers.4.weight"], weights["layers.4.bias"])


def expect(folder, pictures):
    """What the parts make of the written checkpoint, put together as VILA-1.5 does."""
    llama = load(transformers.LlamaForCausalLM, folder / "llm")
    tower = load(transformers.SiglipVisionModel, folder / "vision_tower")
    projector = load_file(folder / "mm_projector" / "model.safetensors")
    projector = {name: value.float() for name, value in projector.items()}
    tokenizer = transformers.LlamaTokenizer.from_pretrained(folder / "llm", legacy=False)
    image_processor = transformers.SiglipImageProcessor.from_pretrained(folder / "vision_tower")
    tensors, side = {}, SIGLIP["image_size"]
    for file in pictures:
        image, key = open_rgb(file), f"picture.{file.stem}"
        tensors[f"{key}.u8"], pixels = processed(image_processor, image.resize((side, side)))
        states = tower(pixels[None], output_hidden_states=True).hidden_states
        tensors[f"{key}.pixels"], tensors[f"{key}.tower"] = pixels, states[-2][0]
        tensors[f"{key}.projector"] = mlp_downsample(states[-2][0], projector)
    rows = tensors[f"{key}.projector"].shape[0]
    cases = []
    for case in QUESTIONS:
        prompt = f"{SYSTEM} USER: <image>\n{case['question']} ASSISTANT:"
        ids = tokenizer_image_token(tokenizer, prompt)
        at = ids.index(PICTURE_MARKER)
        embed = llama.get_input_embeddings()
        spliced = torch.cat(
            [
                embed(torch.tensor(ids[:at])),
                tensors[f"picture.{case['picture'].split('.')[0]}.projector"],
                embed(torch.tensor(ids[at + 1 :])),
            ]
        )[: LLAMA["tokenizer_model_max_length"]]

        def logits_of(rows_before, tokens):
            rows_after = embed(torch.tensor(tokens, dtype=torch.int64))
            return llama(inputs_embeds=torch.cat([rows_before, rows_after])[None]).logits[0, -1]

        tokens, first, margin = greedy(logits_of, spliced)
        generated = llama.generate(
            inputs_embeds=spliced[None],
            attention_mask=torch.ones(1, len(spliced), dtype=torch.int64),
            do_sample=False,
            max_new_tokens=MAX_NEW_TOKENS,
        )
        assert generated[0].tolist() == tokens
        tensors[f"case.{case['id']}.logits"] = first
        cases.append(finished_case(case, prompt, ids, tokens, tokenizer, margin))
    return cases, tensors, rows
