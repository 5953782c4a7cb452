"""Prompts with several pictures, with none, and with a padded one, and what the references answer to them.

Reads the tiny checkpoints and pictures of tests/fixtures/checkpoints and writes model_adapters/tests/fixtures/prompts.json:
for each case `checkpoint`, `pictures` (file names, in order), `padded` (each picture was padded to a square before the
processor), `question`, `prompt` with its markers, `prompt_ids` (-200 or the picture's token for a picture), `tokens`,
`finish`, `text` and `smallest_margin` as in cases.json. Of the questions below each case takes the first that float noise
cannot flip.

    python tests/oracle/prompts.py
"""

import json
import pathlib

import torch
import transformers
from safetensors.torch import load_file

from tiny import llava_hf, vila15
from tiny.decoding import finished_case, greedy
from tiny.pictures import expand2square, open_rgb, processed
from tiny.text import QUESTIONS
from tiny.tokenizer import tokenizer_image_token
from tiny.weights import load

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "tests" / "fixtures" / "checkpoints"
TARGET = ROOT / "model_adapters" / "tests" / "fixtures" / "prompts.json"

SMALLEST_MARGIN = 0.02
PICTURES = [
    (["wide-rgb.jpg", "grey.jpg"], False),
    (["grey.jpg", "wide-rgb.jpg"], False),
    (["palette.png", "tall-rgba.png", "palette.png"], False),
    ([], False),
    (["wide-rgb.jpg"], True),
]
TEXTS = [case["question"] for case in QUESTIONS] + ["What is it?", "Is there a dog?", "Which one is red?", "How many?"]


class Vila15:
    """Layout B, put together as VILA-1.5 does; one block of rows a picture."""

    name = "tiny-vila15"

    def __init__(self):
        folder = CHECKPOINTS / self.name
        self.llama = load(transformers.LlamaForCausalLM, folder / "llm")
        self.tower = load(transformers.SiglipVisionModel, folder / "vision_tower")
        projector = load_file(folder / "mm_projector" / "model.safetensors")
        self.projector = {name: value.float() for name, value in projector.items()}
        self.tokenizer = transformers.LlamaTokenizer.from_pretrained(folder / "llm", legacy=False)
        self.processor = transformers.SiglipImageProcessor.from_pretrained(folder / "vision_tower")

    def prompt(self, message):
        return f"{vila15.SYSTEM} USER: {message} ASSISTANT:"

    def ids(self, prompt):
        return tokenizer_image_token(self.tokenizer, prompt)

    def picture(self, image, padded):
        side = vila15.SIGLIP["image_size"]
        image = expand2square(image, (127, 127, 127)) if padded else image.resize((side, side))
        states = self.tower(processed(self.processor, image)[1][None], output_hidden_states=True).hidden_states
        return vila15.mlp_downsample(states[-2][0], self.projector)

    def decode(self, ids, pictures):
        embed, blocks = self.llama.get_input_embeddings(), iter(pictures)
        rows = [next(blocks) if i == vila15.PICTURE_TOKEN else embed(torch.tensor([i])) for i in ids]

        def logits_of(before, tokens):
            after = embed(torch.tensor(tokens, dtype=torch.int64))
            return self.llama(inputs_embeds=torch.cat([before, after])[None]).logits[0, -1]

        return greedy(logits_of, torch.cat(rows))


class LlavaHf:
    """Layout D, transformers' own model."""

    name = "tiny-llava-hf"

    def __init__(self):
        folder = CHECKPOINTS / self.name
        self.model = load(transformers.LlavaForConditionalGeneration, folder)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.processor = transformers.CLIPImageProcessor.from_pretrained(folder)

    def prompt(self, message):
        return f"USER: {message} ASSISTANT:"

    def ids(self, prompt):
        return self.tokenizer(prompt).input_ids

    def picture(self, image, padded):
        colour = tuple(int(255 * mean) for mean in llava_hf.CLIP_MEAN)
        return processed(self.processor, expand2square(image, colour) if padded else image)[1]

    def decode(self, ids, pictures):
        rows = (llava_hf.CLIP["image_size"] // llava_hf.CLIP["patch_size"]) ** 2
        spread = [i for i in ids for _ in range(rows if i == llava_hf.PICTURE_TOKEN else 1)]
        pixels = {"pixel_values": torch.stack(pictures)} if pictures else {}
        return greedy(
            lambda before, tokens: self.model(input_ids=torch.tensor([before + tokens]), **pixels).logits[0, -1], spread
        )


@torch.no_grad()
def main():
    cases = []
    for reference in (LlavaHf(), Vila15()):
        for files, padded in PICTURES:
            pictures = [reference.picture(open_rgb(CHECKPOINTS / "pictures" / file), padded) for file in files]
            for question in TEXTS:
                prompt = reference.prompt("<image>\n" * len(files) + question)
                ids = reference.ids(prompt)
                tokens, _, margin = reference.decode(ids, pictures)
                if margin >= SMALLEST_MARGIN and len(tokens) > 2:
                    break
            else:
                raise SystemExit(f"{reference.name}, {files}: no question has a safe margin")
            about = {"checkpoint": reference.name, "pictures": files, "padded": padded, "question": question}
            cases.append(finished_case(about, prompt, ids, tokens, reference.tokenizer, margin))
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    TARGET.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
