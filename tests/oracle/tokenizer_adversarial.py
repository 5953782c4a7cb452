"""What the references make of thousands of texts built to break a tokenizer, for `tokenizer/adversarial.rs`.

The texts are not stored: both sides draw the same ones from `atoms` and ranges of code points with the generator below.
For each tokenizer the file holds four hexadecimal digits a text: the beginning of the SHA-256 of its ids and of the text
that those ids decode to.

    python tests/oracle/tokenizer_adversarial.py           write model_adapters/tests/fixtures/tokenizer/adversarial.json
    python tests/oracle/tokenizer_adversarial.py --show N  print what every tokenizer makes of text N
"""

import argparse
import hashlib
import json
import logging
import unicodedata

from tokenizer import FIXTURES, all_cases, open_case

TARGET = FIXTURES / "adversarial.json"
# Cases of `tokenizer.py`.
NAMES = ["llama-3", "llama-3, BOS", "yi", "yi, legacy", "vicuna", "added tokens", "added tokens, legacy", "llava-hf"]
COUNT = 6000
SEED = 20261124
LONGEST = 14

# One or two of every general category, digits in groups, runs of white space, contractions in both cases, what looks like
# bytes, marks and tokens and what nearly does.
ATOMS = [
    " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", " \n", "\n ", "\t ", "\u000b", "\u000c", "\u0085", "\u00a0",
    "\u1680", "\u2003", "\u2028", "\u2029", "\u202f", "\u3000", "\u200b", "\u200c", "\u200d", "\ufeff", "\u00ad",
    "\u001c", "\u001f", "\u0000", "\u007f", "▁", "▁▁", " ▁", "▁ ",
    "0", "7", "12", "345", "6789", "1234567", "3.14", "1,000", "²", "½", "Ⅷ", "٣", "४", "𝟘", "①",
    "'s", "'S", "'t", "'re", "'RE", "'ve", "'m", "'ll", "'LL", "'d", "'", "’s", "''", "ſ", "'ſ", "K", "İ", "ı",
    "a", "b", "the", " the", "The", "THE", "ing", " is", "is", "s", "Is there", " snowboard", "question", "ab", "abab",
    "ß", "ẞ", "ǅ", "ǆ", "ʰ", "ª", "あ", "カ", "日本", "中", "한국", "ก", "ไทย", "हिन्दी", "نص", "עב", "Ω", "Ж", "ᾳ", "𝕏", "ꙮ",
    "é", "e\u0301", "\u0301", "\u0903", "\u20dd", "\u0308\u0301", "🙂", "👩‍👩‍👧", "🇩🇪", "☃", "☃\ufe0f", "\ufffd", "\ufffe",
    "\ue000", "\U000f0000", "\U0010ffff", "\U000e0061",
    ".", "?", "!", ",", "...", " .", " ,", " n't", "n't", "-", "—", "_", "‿", "(", ")", "«", "»", "\"", "“", "#", "%", "+",
    "=", "<", ">", "|", "<|", "|>", "$", "€", "^", "`", "~", "\\", "\\n", "&", "@", "/", "//", "§", "©",
    "<s>", "</s>", "<unk>", "<pad>", "<image>", "<imag", "<0x0A>", "<0x41>", "<0xFF>", "<left>", "<leftmost>", "<right>",
    "[NEW]", "[PAD]", "<|im_start|>", "<|im_end|>", "<|im_start|", "<|startoftext|>", "<|endoftext|>",
    "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eot_id|",
    "wo<|eot_id|>rd", "x<|im_end|>y", "a</s>b", "USER:", " ASSISTANT:", "user\n", "assistant\n\n",
]
# Code points that a text draws single letters from: ASCII, two and three bytes, the other planes. No surrogates.
RANGES = [(0, 0x80), (0x80, 0x800), (0x800, 0x3000), (0x3000, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000), (0xE0000, 0xE0200)]


class Draw:
    """A linear congruential generator of 64 bits; its upper half is what is drawn."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % bound


def texts():
    """One in four items is a single letter, one in sixteen an atom repeated."""
    draw = Draw(SEED)
    found = []
    for _ in range(COUNT):
        text = ""
        for _ in range(1 + draw.below(LONGEST)):
            kind = draw.below(16)
            if kind < 4:
                low, high = RANGES[draw.below(len(RANGES))]
                text += chr(low + draw.below(high - low))
            else:
                atom = ATOMS[draw.below(len(ATOMS))]
                text += atom * (2 + draw.below(20)) if kind == 4 else atom
        found.append(text)
    return found


def made_of(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    return ids, tokenizer.batch_decode([ids], skip_special_tokens=True)[0].strip()


def digest(ids, decoded):
    return hashlib.sha256(f"{' '.join(map(str, ids))}\n{decoded}".encode()).hexdigest()[:4]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--show", type=int, metavar="N")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    found = texts()
    assert {unicodedata.category(letter) for text in found for letter in text} >= set(
        "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split()
    )
    tokenizers = {name: open_case(FIXTURES, *case) for name, *case in all_cases(FIXTURES) if name in NAMES}
    assert set(tokenizers) == set(NAMES)
    if arguments.show is not None:
        text = found[arguments.show]
        print(json.dumps(text))
        for name, tokenizer in tokenizers.items():
            print(name, *made_of(tokenizer, text))
        return
    digests = {
        name: "".join(digest(*made_of(tokenizer, text)) for text in found) for name, tokenizer in tokenizers.items()
    }
    document = {
        "count": COUNT, "seed": SEED, "longest": LONGEST, "atoms": ATOMS, "ranges": RANGES,
        "first": found[:4], "digests": digests,
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=True)}" for key, value in document.items() if key != "digests"]
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in digests.items())
    TARGET.write_text("{\n" + ",\n".join([*lines, f'"digests": {{\n{rows}\n}}']) + "\n}\n")


if __name__ == "__main__":
    main()
