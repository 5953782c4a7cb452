"""What the sentencepiece library and transformers make of texts with a real tokenizer.model.

    python tests/oracle/live/llama_ids.py tokenizer.model texts.jsonl

`texts.jsonl` holds one JSON string a line. Prints one JSON object a line, for these texts and for adversarial ones that
it makes up itself: `text`; `library`, the ids of the sentencepiece library; `new` and `legacy`, those of transformers'
slow class with `legacy` false and true; `decoded`, what the slow class makes of `new` again. It is slow indeed: the last
three are there for every tenth given text and for all adversarial ones. Nothing of it is stored: it is made from the vocabulary. The test
`tokenizer/real_vocabulary.rs` of model_adapters runs this.
"""

import json
import logging
import random
import sys
import unicodedata

import sentencepiece
from transformers import LlamaTokenizer

PIECES = [
    " ", "  ", "\n", "\r\n", "\t", "▁", "▁▁", "<s>", "</s>", "<unk>", "<0x0A>", "<0xFF>", "<image", "\0", "\u001f",
    "\u0085", "\u00a0", "\u200b", "\u200d", "\u2028", "\u3000", "\ufeff", "\ufffd", "\ufffe", "\U0010ffff", "e\u0301",
    "\u0301", "🙂", "👩‍👩‍👧", "🇩🇪", "日本", "한국어", "العربية", "עברית", "हिन्दी", "ไทย", "ﬁ", "İ", "ß", "ǅ", "𝕏", "a", "the", "Is there",
    "ing", "12", "3.14", "'s", "USER:", "ASSISTANT:", "%", "\\n", "�",
]


def adversarial():
    rng = random.Random(20240503)
    texts = [" " * count + "x" for count in range(1, 41)] + ["\n" * count for count in range(1, 20)]
    texts += [letter * 300 for letter in "a▁ 🙂\u0301"]
    for _ in range(2500):
        texts.append("".join(rng.choice(PIECES) for _ in range(rng.randint(1, 12))))
    planes = [(0, 0x80), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000), (0xE0000, 0x110000)]
    for _ in range(2500):
        letters = (chr(rng.randrange(*rng.choice(planes))) for _ in range(rng.randint(1, 16)))
        texts.append("".join(letter for letter in letters if unicodedata.category(letter) != "Cs"))
    return texts


def main():
    model, texts = sys.argv[1:]
    logging.disable(logging.WARNING)
    library = sentencepiece.SentencePieceProcessor(model_file=model)
    slow = {name: LlamaTokenizer(vocab_file=model, legacy=legacy) for name, legacy in (("new", False), ("legacy", True))}
    with open(texts, encoding="utf-8") as lines:
        given = [json.loads(line) for line in lines]
    for number, text in enumerate(given + adversarial()):
        row = {"text": text, "library": library.encode(text)}
        if number % 10 == 0 or number >= len(given):
            row |= {name: tokenizer(text)["input_ids"] for name, tokenizer in slow.items()}
            row["decoded"] = slow["new"].batch_decode([row["new"]], skip_special_tokens=True)[0]
        print(json.dumps(row))


if __name__ == "__main__":
    main()
