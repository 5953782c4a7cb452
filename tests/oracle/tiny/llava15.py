"""Layouts A and C: decoder and projector in one folder, the whole CLIP model in a folder that `mm_vision_tower` names.
The reference is transformers' LlavaForConditionalGeneration with the same tensors."""

import dataclasses
import functools

import torch
import transformers

from tiny import clip
from tiny.awq import packed_state, plain_state
from tiny.decoding import MAX_NEW_TOKENS, finished_case, greedy
from tiny.files import write_json
from tiny.llava_hf import CLIP, CLIP_MEAN, CLIP_PROCESSOR
from tiny.pictures import expand2square, open_rgb, processed
from tiny.text import QUESTIONS
from tiny.tokenizer import BOS, EOS, PICTURE_MARKER, PIECES, tokenizer_image_token, write_tokenizer_config
from tiny.weights import HALVES, random_weights

TOWER = "clip-vit-tiny-patch14-56"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
LLAMA = {
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "hidden_act": "silu",
    "hidden_size": 48,
    "initializer_range": 0.02,
    "intermediate_size": 112,
    "max_position_embeddings": 4096,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 4,
    "pad_token_id": 0,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "use_cache": True,
    "vocab_size": PIECES,
}
# The keys of llava-v1.5-7b's config.json.
LLAVA = LLAMA | {
    "_name_or_path": "llava-v1.5-tiny",
    "architectures": ["LlavaLlamaForCausalLM"],
    "freeze_mm_mlp_adapter": False,
    "freeze_mm_vision_resampler": False,
    "image_aspect_ratio": "pad",
    "max_length": 4096,
    "mm_hidden_size": CLIP["hidden_size"],
    "mm_projector_type": "mlp2x_gelu",
    "mm_resampler_type": None,
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch",
    "mm_vision_select_layer": -2,
    "mm_vision_tower": TOWER,
    "model_type": "llava",
    "transformers_version": "4.31.0",
    "tune_mm_mlp_adapter": False,
    "tune_mm_vision_resampler": False,
    "unfreeze_mm_vision_tower": False,
    "use_mm_proj": True,
}
PROJECTOR = {
    "model.multi_modal_projector.linear_1.": "model.mm_projector.0.",
    "model.multi_modal_projector.linear_2.": "model.mm_projector.2.",
}


def llava_name(name):
    """A tensor of transformers' model by its name in LLaVA's own files; those of the tower begin with `vision_model.`."""
    for new, old in PROJECTOR.items():
        if name.startswith(new):
            return old + name[len(new) :]
    if name.startswith("model.vision_tower."):
        return name[len("model.vision_tower.") :]
    return name.replace("model.language_model.", "model.")


def splice(model, ids, rows):
    """The embeddings of the text with the picture's rows in place of its marker."""
    at, embed = ids.index(PICTURE_MARKER), model.get_input_embeddings()
    return torch.cat([embed(torch.tensor(ids[:at])), rows, embed(torch.tensor(ids[at + 1 :]))])


@dataclasses.dataclass(frozen=True)
class Llava15:
    """One checkpoint of layout A or C."""

    config: dict
    clip: dict
    # `legacy` as tokenizer_config.json states it; None leaves it to the program: false for VILA.
    legacy: bool | None = False
    shards: int = 1
    # AWQ's one `.pt`, of this name.
    awq: str = ""
    PICTURE_TOKEN = PICTURE_MARKER

    @functools.cached_property
    def files(self):
        if self.awq:
            return [self.awq]
        if self.shards == 1:
            return ["pytorch_model.bin"]
        return [f"pytorch_model-{number + 1:05}-of-{self.shards:05}.bin" for number in range(self.shards)]

    @functools.cached_property
    def processor(self):
        side = self.clip["image_size"]
        return CLIP_PROCESSOR | {"crop_size": {"height": side, "width": side}, "size": {"shortest_edge": side}}

    def reference_model(self, attention="eager"):
        config = transformers.LlavaConfig(
            architectures=["LlavaForConditionalGeneration"],
            image_token_index=PIECES,
            projector_hidden_act="gelu",
            text_config={key: self.config[key] for key in LLAMA} | {"model_type": "llama"},
            vision_config=self.clip,
            vision_feature_layer=-2,
            vision_feature_select_strategy="default",
        )
        return transformers.LlavaForConditionalGeneration._from_config(config, attn_implementation=attention).float()

    def loaded(self, folder, dtype=torch.float32, attention="eager"):
        """The written tensors in transformers' model; none may be missing."""
        stored = torch.load(folder / self.config["mm_vision_tower"] / "pytorch_model.bin", weights_only=True)
        for file in self.files:
            stored |= torch.load(folder / file, weights_only=True)
        stored = plain_state(stored)
        model = self.reference_model(attention).eval()
        model.load_state_dict({name: stored[llava_name(name)].float() for name in model.state_dict()})
        # The parameters alone: the rotary frequencies stay in float32, as they do in the references.
        for parameter in model.parameters():
            parameter.data = parameter.data.to(dtype)
        return model

    def write(self, folder, seed, model_bytes):
        """The checkpoint as `liuhaotian/llava-v1.5-7b` lies on the hub, and the tower as OpenAI's: whole, in float32, with
        bare numbers in its preprocessor_config.json."""
        tower_folder = folder / self.config["mm_vision_tower"]
        tower_folder.mkdir(parents=True, exist_ok=True)
        shapes = {llava_name(name): value.shape for name, value in self.reference_model().state_dict().items()}
        weights = random_weights(shapes, seed, torch.float16)
        tower = {name: value.float() for name, value in weights.items() if name.startswith("vision_model.")}
        own = {name: value for name, value in weights.items() if name not in tower}
        for layer in range(self.config["num_hidden_layers"]):
            own[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = torch.zeros(6)
        if self.awq:
            torch.save(packed_state(own, "v1"), folder / self.awq)
        else:
            self.write_shards(folder, own)
        write_json(folder / "config.json", self.config)
        write_json(
            folder / "generation_config.json",
            {"bos_token_id": BOS, "eos_token_id": EOS, "max_length": 4096, "pad_token_id": 0},
        )
        (folder / "tokenizer.model").write_bytes(model_bytes)
        write_tokenizer_config(
            folder,
            {0: "<unk>", 1: "<s>", 2: "</s>"},
            pad_token="<unk>",
            padding_side="right",
            model_max_length=2048,
            legacy=self.legacy,
        )
        width, side = self.clip["hidden_size"], self.clip["image_size"]
        positions = (side // self.clip["patch_size"]) ** 2 + 1
        text = {
            "logit_scale": torch.tensor(4.6),
            "text_model.embeddings.token_embedding.weight": torch.zeros(7, 8),
            "text_projection.weight": torch.zeros(8, 8),
            "visual_projection.weight": torch.zeros(8, width),
            "vision_model.embeddings.position_ids": torch.arange(positions)[None],
        }
        torch.save(tower | text, tower_folder / "pytorch_model.bin")
        write_json(
            tower_folder / "config.json",
            {"architectures": ["CLIPModel"], "model_type": "clip", "text_config": {}, "vision_config": self.clip},
        )
        keys = ["do_center_crop", "do_normalize", "do_resize", "image_mean", "image_std", "resample"]
        processor = {key: CLIP_PROCESSOR[key] for key in keys} | {"crop_size": side, "size": side}
        write_json(
            tower_folder / "preprocessor_config.json", processor | {"feature_extractor_type": "CLIPFeatureExtractor"}
        )

    def write_shards(self, folder, own):
        """In as many files as asked for, with an index where there are several."""
        shards, weight_map = [{} for _ in self.files], {}
        for number, name in enumerate(own):
            shard = min(number // (len(own) // self.shards), self.shards - 1)
            shards[shard][name] = own[name]
            weight_map[name] = self.files[shard]
        for file, tensors in zip(self.files, shards):
            torch.save(tensors, folder / file)
        if self.shards > 1:
            total = sum(value.numel() * value.element_size() for value in own.values())
            write_json(
                folder / "pytorch_model.bin.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map}
            )

    def expect(self, folder, pictures):
        """What transformers' LLaVA makes of the written tensors, pictures padded and prompts tokenised as LLaVA does."""
        model = self.loaded(folder)
        tokenizer = transformers.LlamaTokenizer.from_pretrained(folder, legacy=False)
        image_processor = transformers.CLIPImageProcessor(**self.processor)
        tensors = {}
        for file in pictures:
            padded = expand2square(open_rgb(file), tuple(int(255 * mean) for mean in CLIP_MEAN))
            key = f"picture.{file.stem}"
            tensors[f"{key}.u8"], pixels = processed(image_processor, padded)
            states = model.model.vision_tower(pixels[None], output_hidden_states=True).hidden_states
            tensors[f"{key}.tower"] = states[-2][0, 1:]
            tensors[f"{key}.projector"] = model.model.multi_modal_projector(tensors[f"{key}.tower"])
            if file == pictures[0]:
                tensors[f"{key}.pixels"] = pixels
        rows = tensors[f"{key}.projector"].shape[0]
        llama, embed, cases = model.model.language_model, model.get_input_embeddings(), []
        for case in QUESTIONS:
            prompt = f"{SYSTEM} USER: <image>\n{case['question']} ASSISTANT:"
            ids = tokenizer_image_token(tokenizer, prompt)
            spliced = splice(model, ids, tensors[f"picture.{case['picture'].split('.')[0]}.projector"])

            def logits_of(before, tokens):
                after = embed(torch.tensor(tokens, dtype=torch.int64))
                hidden = llama(inputs_embeds=torch.cat([before, after])[None]).last_hidden_state
                return model.lm_head(hidden[0, -1])

            tokens, first, margin = greedy(logits_of, spliced)
            assert len(tokens) <= MAX_NEW_TOKENS
            tensors[f"case.{case['id']}.logits"] = first
            cases.append(finished_case(case, prompt, ids, tokens, tokenizer, margin))
        return cases, tensors | self.halves(folder, tensors, cases[0]), rows

    def halves(self, folder, tensors, case):
        """The first case once more in 16 bits, with every rounding of the references and the fused attention."""
        found = {}
        for name, dtype in HALVES.items():
            model = self.loaded(folder, dtype, "sdpa")
            state = model.model.vision_tower.state_dict()
            tower = {key.removeprefix("vision_model."): value for key, value in state.items()}
            pixels = tensors[f"picture.{case['picture'].split('.')[0]}.pixels"].to(dtype)
            states = clip.hidden_states(pixels, tower, self.clip)[-2][1:]
            rows = model.model.multi_modal_projector(states)
            spliced = splice(model, case["prompt_ids"], rows)
            logits = model.lm_head(model.model.language_model(inputs_embeds=spliced[None]).last_hidden_state)[0, -1]
            found |= {f"{name}.tower": states, f"{name}.projector": rows, f"{name}.logits": logits}
        return found


# As llava-v1.5-7b and -13b: two pickled shards.
LLAVA_15 = Llava15(LLAVA, CLIP, shards=2)

SMALL_CLIP = CLIP | {
    "hidden_size": 32,
    "image_size": 42,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
}
# What VILA's training adds to the keys of LLaVA.
VILA = LLAVA | {
    "_name_or_path": "vila-tiny",
    "mm_hidden_size": SMALL_CLIP["hidden_size"],
    "mm_vision_tower": "clip-vit-tiny-patch14-42",
    "tokenizer_model_max_length": 4096,
    "tokenizer_padding_side": "right",
}

# As VILA-7b and -13b: one pickled file.
VILA_7B = Llava15(VILA | {"num_key_value_heads": 2, "rms_norm_eps": 1e-06}, SMALL_CLIP, legacy=None)

# As VILA-7b-4bit-awq: one `.pt` at the top with LLaVA's names, the first of AWQ's packings.
VILA_7B_AWQ = Llava15(
    VILA | {"hidden_size": 128, "intermediate_size": 256, "num_key_value_heads": 2},
    SMALL_CLIP,
    legacy=None,
    awq="tiny-vila-7b-w4-g128-awq.pt",
)
