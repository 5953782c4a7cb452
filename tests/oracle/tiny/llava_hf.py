"""Layout D. The reference is transformers' LlavaForConditionalGeneration."""

import dataclasses
import functools

import torch
import transformers
from safetensors.torch import load_file, save_file

from tiny import clip
from tiny.awq import packed_state, plain_state
from tiny.decoding import MAX_NEW_TOKENS, finished_case, greedy
from tiny.files import write_json
from tiny.pictures import expand2square, open_rgb, processed
from tiny.text import QUESTIONS
from tiny.tokenizer import BOS, EOS, PIECES, fast_tokenizer, write_tokenizer_config
from tiny.weights import HALVES, filled, load, random_weights

PICTURE_TOKEN = PIECES

LLAMA = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "torch_dtype": "float16",
    "vocab_size": 512,
}
CLIP = {
    "hidden_size": 48,
    "image_size": 56,
    "intermediate_size": 128,
    "model_type": "clip_vision_model",
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "patch_size": 14,
    "projection_dim": 32,
}
LLAVA_HF = {
    "architectures": ["LlavaForConditionalGeneration"],
    "ignore_index": -100,
    "image_token_index": PIECES,
    "model_type": "llava",
    "pad_token_id": PIECES + 1,
    "projector_hidden_act": "gelu",
    "text_config": LLAMA,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.36.0.dev0",
    "vision_config": CLIP,
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default",
    "vocab_size": 512,
}
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_PROCESSOR = {
    "crop_size": {"height": 56, "width": 56},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": CLIP_MEAN,
    "image_processor_type": "CLIPImageProcessor",
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "processor_class": "LlavaProcessor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 56},
}


def old_spelling(name):
    """The names of llava-hf files up to 2024, which are what the published checkpoints hold."""
    for new, old in [
        ("model.language_model.", "language_model.model."),
        ("lm_head.", "language_model.lm_head."),
        ("model.vision_tower.", "vision_tower."),
        ("model.multi_modal_projector.", "multi_modal_projector."),
    ]:
        if name.startswith(new):
            return old + name[len(new) :]
    raise ValueError(name)


def clip_weights(model):
    prefix = "vision_model."
    return {name.removeprefix(prefix): value for name, value in model.model.vision_tower.state_dict().items()}


def write_shards(folder, weights):
    """Two files of about the same size and their index."""
    total = sum(value.numel() * 2 for value in weights.values())
    shards, weight_map, size = [{}, {}], {}, 0
    for name, value in weights.items():
        shard = int(size > total // 2)
        shards[shard][name] = value
        weight_map[name] = f"model-0000{shard + 1}-of-00002.safetensors"
        size += value.numel() * 2
    for shard, tensors in enumerate(shards):
        save_file(tensors, folder / f"model-0000{shard + 1}-of-00002.safetensors", {"format": "pt"})
    write_json(
        folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map}
    )


@dataclasses.dataclass(frozen=True)
class LlavaHf:
    """One checkpoint of layout D."""

    llama: dict = dataclasses.field(default_factory=lambda: LLAMA)
    clip: dict = dataclasses.field(default_factory=lambda: CLIP)
    # Columns of a group where AutoAWQ has packed the decoder.
    awq_group: int = 0
    PICTURE_TOKEN = PICTURE_TOKEN

    @functools.cached_property
    def config(self):
        return LLAVA_HF | {"text_config": self.llama, "vision_config": self.clip}

    @functools.cached_property
    def processor(self):
        side = self.clip["image_size"]
        return CLIP_PROCESSOR | {"crop_size": {"height": side, "width": side}, "size": {"shortest_edge": side}}

    def loaded(self, folder, dtype=torch.float32, attention="eager"):
        """The written tensors in transformers' model; four bits as what they stand for."""
        if not self.awq_group:
            return load(transformers.LlavaForConditionalGeneration, folder, dtype, attention)
        stored = plain_state(load_file(folder / "model.safetensors"))
        names = transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(**self.config)).state_dict()
        weights = {name: stored[old_spelling(name)] for name in names}
        return filled(transformers.LlavaForConditionalGeneration, folder, weights, dtype, attention)

    def write(self, folder, seed, model_bytes):
        """The checkpoint as it lies on the hub: float16, two shards with an index, or AutoAWQ's one file."""
        folder.mkdir(parents=True, exist_ok=True)
        model = transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(**self.config))
        shapes = {old_spelling(name): value.shape for name, value in model.state_dict().items()}
        weights = random_weights(shapes, seed, torch.float16)
        quantisation = {}
        if self.awq_group:
            quantisation = {
                "quantization_config": {
                    "bits": 4,
                    "group_size": self.awq_group,
                    "modules_to_not_convert": ["vision_tower", "multi_modal_projector"],
                    "quant_method": "awq",
                    "version": "gemm",
                    "zero_point": True,
                }
            }
            save_file(packed_state(weights, "gemm", self.awq_group), folder / "model.safetensors", {"format": "pt"})
        else:
            write_shards(folder, weights)
        write_json(folder / "config.json", self.config | quantisation)
        write_json(folder / "preprocessor_config.json", self.processor)
        write_json(
            folder / "processor_config.json",
            {
                "image_token": "<image>",
                "num_additional_image_tokens": 1,
                "patch_size": self.clip["patch_size"],
                "processor_class": "LlavaProcessor",
                "vision_feature_select_strategy": "default",
            },
        )
        write_json(
            folder / "generation_config.json",
            {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PIECES + 1, "transformers_version": "4.36.0.dev0"},
        )
        fast_tokenizer(model_bytes).save(str(folder / "tokenizer.json"))
        added = {PIECES: "<image>", PIECES + 1: "<pad>"}
        write_json(folder / "added_tokens.json", {text: i for i, text in added.items()})
        write_tokenizer_config(
            folder, {0: "<unk>", 1: "<s>", 2: "</s>"} | added, pad_token="<pad>", padding_side="left"
        )

    def expect(self, folder, pictures):
        """What transformers' own LLaVA makes of the written checkpoint."""
        model = self.loaded(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        image_processor = transformers.CLIPImageProcessor.from_pretrained(folder)
        processor = transformers.LlavaProcessor(
            image_processor,
            tokenizer,
            patch_size=self.clip["patch_size"],
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        )
        tensors, seen = {}, {}
        for file in pictures:
            image, key = open_rgb(file), f"picture.{file.stem}"
            tensors[f"{key}.u8"], pixels = processed(image_processor, image)
            padded = expand2square(image, tuple(int(255 * mean) for mean in CLIP_MEAN))
            tensors[f"{key}.padded.u8"], _ = processed(image_processor, padded)
            states = model.model.vision_tower(pixels[None], output_hidden_states=True).hidden_states
            tensors[f"{key}.pixels"], tensors[f"{key}.tower"] = pixels, states[-2][0, 1:]
            tensors[f"{key}.projector"] = model.model.multi_modal_projector(tensors[f"{key}.tower"])
            assert torch.equal(tensors[f"{key}.projector"], model.get_image_features(pixels[None])[0])
            by_hand = clip.hidden_states(pixels, clip_weights(model), self.clip)
            torch.testing.assert_close(by_hand[-2][1:], tensors[f"{key}.tower"], rtol=0, atol=1e-4)
            seen[file.name] = (image, pixels)
        rows = tensors[f"{key}.projector"].shape[0]
        cases = []
        for case in QUESTIONS:
            image, pixels = seen[case["picture"]]
            prompt = f"USER: <image>\n{case['question']} ASSISTANT:"
            ids = tokenizer(prompt).input_ids
            at = ids.index(PIECES)
            spread = ids[:at] + [PIECES] * rows + ids[at + 1 :]
            inputs = processor(images=image, text=prompt, return_tensors="pt")
            assert inputs["input_ids"][0].tolist() == spread
            assert torch.equal(inputs["pixel_values"][0], pixels)

            def logits_of(prompt_ids, tokens):
                out = model(input_ids=torch.tensor([prompt_ids + tokens]), pixel_values=pixels[None])
                return out.logits[0, -1]

            tokens, first, margin = greedy(logits_of, spread)
            generated = model.generate(**inputs, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)
            assert generated[0, len(spread) :].tolist() == tokens
            tensors[f"case.{case['id']}.logits"] = first
            cases.append(finished_case(case, prompt, ids, tokens, tokenizer, margin))
        return cases, tensors | self.halves(folder, tensors, cases[0]), rows

    def halves(self, folder, tensors, case):
        """The first case once more in 16 bits, with every rounding of transformers 4.37 and the fused attention."""
        found = {}
        for name, dtype in HALVES.items():
            model = self.loaded(folder, dtype, "sdpa")
            pixels = tensors[f"picture.{case['picture'].split('.')[0]}.pixels"].to(dtype)
            states = clip.hidden_states(pixels, clip_weights(model), self.clip)[-2][1:]
            rows = model.model.multi_modal_projector(states)
            ids, embed = case["prompt_ids"], model.get_input_embeddings()
            at = ids.index(PIECES)
            spliced = torch.cat([embed(torch.tensor(ids[:at])), rows, embed(torch.tensor(ids[at + 1 :]))])
            state = model.model.language_model(inputs_embeds=spliced[None]).last_hidden_state
            logits = model.lm_head(state)[0, -1]
            found |= {f"{name}.tower": states, f"{name}.projector": rows, f"{name}.logits": logits}
        return found


# As llava-1.5-7b-hf and -13b-hf.
PLAIN = LlavaHf()

# The same as AutoAWQ stores it, with `quantization_config`; the groups are small, as the width is.
AWQ = LlavaHf(
    llama=LLAMA | {"num_hidden_layers": 2},
    clip=CLIP
    | {"hidden_size": 32, "image_size": 42, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 3},
    awq_group=32,
)
