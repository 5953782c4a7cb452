"""The rival of the speed bench: transformers on the CPU, one question at a time, as the evaluation loops of LLaVA and
lmms-eval use it.

Alone: `rival.py CHECKPOINT DATA TOKENS` answers every question of DATA and prints seconds of asking, peak memory in MiB
and the token ids as one JSON object. A checkpoint of 3B fits into memory once only.
"""

import json
import pathlib
import resource
import sys
import time

import torch
import transformers
from PIL import Image

import workloads


class Rival:
    def __init__(self, folder):
        self.model = transformers.LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.model.generation_config.eos_token_id = None
        self.processor = transformers.LlavaProcessor(
            transformers.CLIPImageProcessor.from_pretrained(folder),
            transformers.AutoTokenizer.from_pretrained(folder),
            patch_size=self.model.config.vision_config.patch_size,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        )

    @torch.inference_mode()
    def generate(self, picture, text, tokens, **more):
        image = Image.open(picture).convert("RGB")
        prompt = f"USER: <image>\n{text} ASSISTANT:"
        inputs = self.processor(images=image, text=prompt, return_tensors="pt")
        length = inputs["input_ids"].shape[1]
        return length, self.model.generate(**inputs, do_sample=False, max_new_tokens=tokens, **more)

    def answer(self, picture, text, tokens):
        """The ids of the answer."""
        length, ids = self.generate(picture, text, tokens)
        said = ids[0, length:].tolist()
        assert len(said) == tokens, (len(said), tokens)
        return said

    def closest(self, picture, text, tokens):
        """The smallest lead of a best logit along the answer."""
        _, out = self.generate(picture, text, tokens, output_logits=True, return_dict_in_generate=True)
        leads = [torch.topk(logits[0], 2).values for logits in out.logits]
        return min(float(best[0] - best[1]) for best in leads)

    def pictures_per_second(self, pictures):
        """From JPEG files to the tower's input, on one thread."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        start = time.process_time()
        for picture in pictures:
            self.processor.image_processor(Image.open(picture).convert("RGB"), return_tensors="pt")
        seconds = time.process_time() - start
        torch.set_num_threads(before)
        return len(pictures) / seconds


def main():
    folder, data, tokens = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
    rows = workloads.lines(data / "llava-mm-vet.jsonl")
    rival = Rival(folder)
    start = time.perf_counter()
    ids = [rival.answer(data / "images" / row["image"], row["text"], tokens) for row in rows]
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "ids": ids}))


if __name__ == "__main__":
    main()
