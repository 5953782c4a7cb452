"""The layout B checkpoints. The reference is put together as VILA-1.5 does: the decoder from transformers, the tower
from transformers or from its definition beside this file."""

import dataclasses
import functools
import math

import numpy
import torch
import transformers
from safetensors.torch import load_file

from tiny import intern_vit, llama_3, s2
from tiny.awq import packed_state, plain_state
from tiny.decoding import MAX_NEW_TOKENS, ends, finished_case, greedy
from tiny.files import write_json
from tiny.pictures import open_rgb, processed
from tiny.text import QUESTIONS
from tiny.tokenizer import BOS, EOS, PICTURE_MARKER, PIECES, tokenizer_image_token, write_tokenizer_config
from tiny.weights import HALVES, filled, load, random_weights, sentencepiece_head, write_safetensors

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


class SiglipTower:
    """transformers' SigLIP; VILA1.5 takes the state before the last block, all tokens."""

    select = {"mm_vision_select_layer": -2, "mm_vision_select_feature": "cls_patch"}

    def __init__(self, config, processor_size):
        self.config = config
        self.processor = SIGLIP_PROCESSOR | {"size": {"height": processor_size, "width": processor_size}}

    def shapes(self):
        tower = transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**self.config))
        return {name: value.shape for name, value in tower.state_dict().items()}

    def load(self, folder, dtype):
        """The tower as a function from pixels `[3, side, side]` to the selected state `[tokens, width]`."""
        tower = load(transformers.SiglipVisionModel, folder, dtype)
        return lambda pixels: tower(pixels[None], output_hidden_states=True).hidden_states[-2][0]

    def pixels(self, image, side):
        return processed(transformers.SiglipImageProcessor(**(self.processor | {"size": {"height": side, "width": side}})), image)


class InternTower:
    """InternViT; the 40B model takes the last state without the class token. Its preprocessing is fixed."""

    select = {"mm_vision_select_layer": -1, "mm_vision_select_feature": "patch"}
    processor = None

    def __init__(self, config):
        self.config = config

    def shapes(self):
        return intern_vit.shapes(self.config)

    def load(self, folder, dtype):
        weights = {name: value.to(dtype) for name, value in load_file(folder / "model.safetensors").items()}
        return lambda pixels: intern_vit.hidden_states(pixels, weights, self.config)[-1][1:]

    def pixels(self, image, side):
        eight_bit = torch.from_numpy(numpy.array(image.resize((side, side))))
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        pixels = ((eight_bit.float() / 255 - mean) / std).permute(2, 0, 1).contiguous()
        return eight_bit, pixels


class LlamaTokens:
    """The SentencePiece vocabulary, with the tokens of a chat template added behind it."""

    bos, eos = BOS, EOS
    head = staticmethod(sentencepiece_head)

    def __init__(self, added=()):
        self.added = added

    def write(self, folder, model_bytes):
        (folder / "tokenizer.model").write_bytes(model_bytes)
        write_tokenizer_config(
            folder,
            {0: "<unk>", 1: "<s>", 2: "</s>"} | {PIECES + i: text for i, text in enumerate(self.added)},
            pad_token="<unk>",
            padding_side="right",
            model_max_length=4096,
            spaces_between_special_tokens=False,
        )

    def load(self, folder):
        return transformers.LlamaTokenizer.from_pretrained(folder, legacy=False)


class Llama3Tokens:
    """The byte-level vocabulary, in a file that puts the begin token in front of every text or leaves it to the template;
    a later checkpoint ends its answers at either of two tokens."""

    bos = llama_3.BOS

    def __init__(self, adds_bos=True, eos=llama_3.EOS):
        self.adds_bos, self.eos = adds_bos, eos

    def head(self, value):
        """Rare bytes and special tokens, a frequent enough end."""
        value[:256] *= 0.7
        value[llama_3.RANKS :] *= 0.05
        value[ends(self.eos)[-1]] *= 26

    def write(self, folder, model_bytes):
        llama_3.write_tokenizer(folder, self.adds_bos)

    def load(self, folder):
        return transformers.AutoTokenizer.from_pretrained(folder)


@dataclasses.dataclass(frozen=True)
class Vila15:
    """One checkpoint of layout B and how it is asked."""

    llama: dict
    tower: object
    tokens: object
    prompt: str
    scales: tuple = ()
    # Larger decoders come in several files; AWQ's in one `.pt` of this name.
    shards: int = 1
    awq: str = ""
    PICTURE_TOKEN = PICTURE_MARKER

    @functools.cached_property
    def side(self):
        """Side of the picture that preprocessing makes."""
        return max(self.scales, default=self.tower.config["image_size"])

    @functools.cached_property
    def width(self):
        """Width of the tower's tokens."""
        return self.tower.config["hidden_size"] * max(len(self.scales), 1)

    def config(self):
        s2_keys = {}
        if self.scales:
            scales = ",".join(map(str, self.scales))
            s2_keys = {"s2": True, "s2_scales": scales, "s2_max_split_size": self.tower.config["image_size"]}
        return (
            VILA
            | {
                "hidden_size": self.llama["hidden_size"],
                "llm_cfg": self.llama,
                "mm_hidden_size": self.width,
                "vision_tower_cfg": self.tower.config,
            }
            | self.tower.select
            | s2_keys
        )

    def write(self, folder, seed, model_bytes):
        """The checkpoint as VILA's `save_pretrained` lays it out: one folder per module, bfloat16."""
        merged, hidden = 4 * self.width, self.llama["hidden_size"]
        llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**self.llama))
        modules = {
            "llm": {name: value.shape for name, value in llama.state_dict().items()},
            "vision_tower": self.tower.shapes(),
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
            weights = random_weights(shapes, 10 * seed + number, torch.bfloat16, self.tokens.head)
            if module == "llm" and self.awq:
                torch.save(packed_state(weights, "v2"), folder / module / self.awq)
            else:
                write_safetensors(folder / module, weights, self.shards if module == "llm" else 1)
        write_json(folder / "config.json", self.config())
        write_json(folder / "llm" / "config.json", self.llama)
        write_json(folder / "vision_tower" / "config.json", self.tower.config)
        if self.tower.processor:
            write_json(folder / "vision_tower" / "preprocessor_config.json", self.tower.processor)
        write_json(folder / "mm_projector" / "config.json", PROJECTOR)
        write_json(
            folder / "llm" / "generation_config.json",
            {
                "bos_token_id": self.tokens.bos,
                "eos_token_id": self.tokens.eos,
                "pad_token_id": 0,
                "transformers_version": "4.36.2",
            },
        )
        self.tokens.write(folder / "llm", model_bytes)

    def parts(self, folder, dtype):
        """Decoder, and functions from pixels to the tower's tokens and from those to rows, in `dtype`."""
        # In 16 bits the decoder's attention is the fused one, as in the references.
        attention = "eager" if dtype == torch.float32 else "sdpa"
        if self.awq:
            weights = plain_state(torch.load(folder / "llm" / self.awq, weights_only=True))
            llama = filled(transformers.LlamaForCausalLM, folder / "llm", weights, dtype, attention)
        else:
            llama = load(transformers.LlamaForCausalLM, folder / "llm", dtype, attention)
        plain = self.tower.load(folder / "vision_tower", dtype)
        projector = load_file(folder / "mm_projector" / "model.safetensors")
        projector = {name: value.to(dtype) for name, value in projector.items()}

        def tower(pixels):
            if self.scales:
                return s2.features(pixels.to(dtype), self.scales, self.tower.config["image_size"], plain)
            return plain(pixels.to(dtype))

        return llama, tower, lambda states: mlp_downsample(states, projector)

    def expect(self, folder, pictures):
        """What the parts make of the written checkpoint, in float32, put together as VILA-1.5 does."""
        llama, tower, project = self.parts(folder, torch.float32)
        tokenizer = self.tokens.load(folder / "llm")
        if len(tokenizer) < llama.config.vocab_size:
            llama.resize_token_embeddings(len(tokenizer))
        tensors = {}
        for file in pictures:
            image, key = open_rgb(file), f"picture.{file.stem}"
            tensors[f"{key}.u8"], pixels = self.tower.pixels(image.resize((self.side, self.side)), self.side)
            states = tower(pixels)
            tensors[f"{key}.tower"], tensors[f"{key}.projector"] = states, project(states)
            if file == pictures[0]:
                tensors[f"{key}.pixels"] = pixels
        rows = tensors[f"{key}.projector"].shape[0]
        cases = []
        for case in QUESTIONS:
            prompt = self.prompt.format(message=f"<image>\n{case['question']}")
            ids = tokenizer_image_token(tokenizer, prompt)
            spliced = splice(llama, ids, tensors[f"picture.{case['picture'].split('.')[0]}.projector"])
            spliced = spliced[: self.llama["tokenizer_model_max_length"]]
            embed = llama.get_input_embeddings()

            def logits_of(rows_before, tokens):
                rows_after = embed(torch.tensor(tokens, dtype=torch.int64))
                return llama(inputs_embeds=torch.cat([rows_before, rows_after])[None]).logits[0, -1]

            tokens, first, margin = greedy(logits_of, spliced, self.tokens.eos)
            generated = llama.generate(
                inputs_embeds=spliced[None],
                attention_mask=torch.ones(1, len(spliced), dtype=torch.int64),
                do_sample=False,
                max_new_tokens=MAX_NEW_TOKENS,
            )
            assert generated[0].tolist() == tokens
            tensors[f"case.{case['id']}.logits"] = first
            cases.append(finished_case(case, prompt, ids, tokens, tokenizer, margin, self.tokens.eos))
        return cases, tensors | self.halves(folder, tensors, cases[0]), rows

    def halves(self, folder, tensors, case):
        """The first case once more in 16 bits, with every rounding of the references."""
        found = {}
        for name, dtype in HALVES.items():
            llama, tower, project = self.parts(folder, dtype)
            states = tower(tensors[f"picture.{case['picture'].split('.')[0]}.pixels"])
            rows = project(states)
            logits = llama(inputs_embeds=splice(llama, case["prompt_ids"], rows)[None]).logits[0, -1]
            logits = logits[: len(tensors[f"case.{case['id']}.logits"])]
            found |= {f"{name}.tower": states, f"{name}.projector": rows, f"{name}.logits": logits}
        return found


def splice(llama, ids, rows):
    """The embeddings of the text with the picture's rows in place of its marker."""
    at, embed = ids.index(PICTURE_MARKER), llama.get_input_embeddings()
    return torch.cat([embed(torch.tensor(ids[:at])), rows, embed(torch.tensor(ids[at + 1 :]))])


VICUNA = SYSTEM + " USER: {message} ASSISTANT:"
HERMES = (
    "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n{message}<|im_end|><|im_start|>assistant\n"
)
LLAMA_3_MAY = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou are a helpful language and vision assistant. "
    "You are able to understand the visual content that the user provides, and assist the user with a variety of tasks "
    "using natural language.<|end_of_text|><|start_header_id|>user<|end_header_id|>\n\n{message}<|end_of_text|>"
    "<|start_header_id|>system<|end_header_id|>\n\n"
)
LLAMA_3_SEPTEMBER = (
    LLAMA_3_MAY.replace("<|end_of_text|>", "<|eot_id|>").removesuffix("system<|end_header_id|>\n\n")
    + "assistant<|end_header_id|>\n\n"
)

# As VILA1.5-3b.
PLAIN = Vila15(LLAMA, SiglipTower(SIGLIP, SIGLIP["image_size"]), LlamaTokens(), VICUNA)

SMALL = LLAMA | {"hidden_size": 32, "intermediate_size": 80, "num_attention_heads": 4, "num_hidden_layers": 2}
SMALL_SIGLIP = SIGLIP | {"hidden_size": 24, "image_size": 22, "intermediate_size": 56, "num_attention_heads": 3}

# As VILA1.5-3b-s2: as many key/value heads as query heads, the picture at two scales.
S2 = Vila15(
    SMALL | {"num_key_value_heads": 4, "rope_theta": 10000.0},
    SiglipTower(SMALL_SIGLIP, SMALL_SIGLIP["image_size"]),
    LlamaTokens(),
    VICUNA,
    scales=(22, 44),
)

# As Llama-3-VILA1.5-8b: grouped heads, theta 500000, an odd number of rows (an added `[PAD]`).
LLAMA_3 = Vila15(
    SMALL
    | {
        "bos_token_id": llama_3.BOS,
        "eos_token_id": llama_3.EOS,
        "num_key_value_heads": 1,
        "rope_theta": 500000.0,
        "vocab_size": llama_3.VOCABULARY,
    },
    SiglipTower(SMALL_SIGLIP, SMALL_SIGLIP["image_size"]),
    Llama3Tokens(),
    LLAMA_3_MAY,
)

# As VILA1.5-40b: InternViT, Yi's theta, rows beyond the tokenizer that are cut off.
YI = Vila15(
    SMALL | {"num_key_value_heads": 2, "rope_theta": 5000000.0, "vocab_size": 512},
    InternTower(
        {
            "architectures": ["InternVisionModel"],
            "attention_dropout": 0.0,
            "hidden_act": "gelu",
            "hidden_size": 24,
            "image_size": 42,
            "intermediate_size": 56,
            "layer_norm_eps": 1e-06,
            "model_type": "intern_vit_6b",
            "num_attention_heads": 2,
            "num_channels": 3,
            "num_hidden_layers": 2,
            "patch_size": 7,
            "qk_normalization": True,
            "qkv_bias": False,
            "torch_dtype": "bfloat16",
        }
    ),
    LlamaTokens(("<|im_start|>", "<|im_end|>")),
    HERMES,
)

# As Llama-3-VILA1.5-8b-Fix: the later template, no begin token from the file, two end tokens.
LLAMA_3_FIX = dataclasses.replace(
    LLAMA_3,
    llama=LLAMA_3.llama | {"eos_token_id": [llama_3.EOS, llama_3.EOT], "num_key_value_heads": 2},
    tokens=Llama3Tokens(adds_bos=False, eos=(llama_3.EOS, llama_3.EOT)),
    prompt=LLAMA_3_SEPTEMBER,
)

# As VILA1.5-13b: as many key/value heads as query heads, the decoder in two files.
VICUNA_13B = Vila15(
    SMALL
    | {"hidden_size": 40, "intermediate_size": 104, "num_attention_heads": 5, "num_hidden_layers": 3}
    | {"num_key_value_heads": 5, "rope_theta": 10000.0},
    SiglipTower(SMALL_SIGLIP, SMALL_SIGLIP["image_size"]),
    LlamaTokens(),
    VICUNA,
    shards=2,
)

# As VILA1.5-3b-AWQ: the decoder's linears in four bits, two groups of 128 columns in the widest.
AWQ = Vila15(
    SMALL
    | {"hidden_size": 128, "intermediate_size": 256, "num_key_value_heads": 2, "rope_theta": 10000.0}
    | {"torch_dtype": "float16"},
    SiglipTower(SMALL_SIGLIP, SMALL_SIGLIP["image_size"]),
    LlamaTokens(),
    VICUNA,
    awq="tiny-vila1.5-3b-w4-g128-awq-v2.pt",
)
