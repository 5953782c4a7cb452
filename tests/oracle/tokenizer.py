"""Makes model_adapters/tests/fixtures/tokenizer/ with the sentencepiece library and transformers.

Six small vocabularies, trained on the text below, and what the references make of a few hundred strings:

    llama.model      SentencePiece BPE with LLaMA's switches (byte fallback, identity normaliser, spaces kept)
    yi.model         the same without dummy prefix, with Yi's names for the special pieces and ChatML's marks inside
    odd.model        user-defined and unused pieces, no byte fallback, spaces collapsed
    llama.json       llama.model as transformers converts it for its fast class, with llava-hf's two added tokens
    llama3.json      byte-level BPE with the pre-tokeniser and header tokens of Llama-3; adds no BOS
    llama3-bos.json  the same with the post-processor that adds one
    expected.json    strings, ids and decoded texts; prompts with picture markers and their ids (-200 for a picture);
                     where the keyword criterion ends generated ids

Usage: python tests/oracle/tokenizer.py [folder]    (versions: tests/oracle/requirements.txt)
"""

import io
import json
import random
import sys
import tempfile
import unicodedata
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from tiny.tokenizer import tokenizer_image_token
from transformers import LlamaTokenizer, LlamaTokenizerFast, PreTrainedTokenizerFast

FIXTURES = Path(__file__).parents[2] / "model_adapters" / "tests" / "fixtures" / "tokenizer"

TEXT = """A small snowboard leans against the wooden fence in the image. Is there a dog in the picture?
Answer the question using a single word or phrase. The assistant gives helpful, detailed answers.
Two people are standing next to a red bus, and one of them is holding an umbrella.
What colour is the car that is parked behind the fire hydrant? It's blue, isn't it?
The quick brown fox jumps over the lazy dog while 12 apples and 345 pears lie on the table.
Yes, there is a snowboard in the image. No, there are no people in this photograph.
def answer(question):
    if question is None:
        return "no question"
    return question.strip().lower()
Reading the text on the sign: "STOP", "EXIT 42", "Main Street", "www.example.org/index.html".
Zwei Männer stehen vor einem grünen Haus; über dem Fluss liegt eine Brücke.
Où est le café ? Près de la fenêtre, à côté de l'église.
The cat sat on the mat. The cat is sitting on the chair. The cats are on the sofa.
A chat between a curious user and an artificial intelligence assistant.
USER: What is in the image? ASSISTANT: There are three bottles on the counter.
"""

FIXED = [
    "", " ", "  ", "   ", "\n", "\t", " \n ", "a", " a", "  a", "a ", "a  b", "▁", "▁▁", " ▁", "▁ ", "▁a", "a▁b",
    "Yes</s>USER", "Yes</s> USER", "</s>", " </s>", "</s> ", "</s></s>", "<s>", "<s> a", "<unk>", "a<unk>b",
    "<unk> a", " lead", "\nWhat", "<0x0A>", "<0x41>", "< s >", "<s", "</s", "<<s>>", "<s></s><unk>",
    "a</s>  b", "a  </s>b",
    "Is there a snowboard in the image?\nAnswer the question using a single word or phrase.",
    "USER: <image>\nIs it? ASSISTANT:", "<image>", "<image><image>", " <image> ", "<pad>", "a<pad> b", "<imag",
    "<image", "x<left>y", "x  <left>  y", "x <right> y", "x<right>\n\u001f y", "<right><left>",
    "<right>  <left>", "<leftmost>",
    "<leftmost", "<left><leftmost> a", "tail <right>", "[NEW]", "a [NEW] b", "<|im_start|>user\nab<|im_end|>",
    "abab", "ababab", "the the the", "sisisisi", "aaaaaaaaaaaaaaaaaaaa", "ssssss",
    " " * 7 + "x" + " " * 16, "\r\n", "\0", "a\0b",
    "é", "e\u0301", "Männer", "日本語", "한국어", "العربية", "🙂", "👩‍👩‍👧", "\ufeffa", "\u200b", "\u00a0a\u00a0", "\u3000",
    "\u2028", "\u001c\u001f", "\ufffd", "\U0010ffff", "ﬁ", "Ⅷ", "İ", "ß", "＜ｓ＞", "\u0085",
    "<|begin_of_text|>", "<|begin_of_text|>a", "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi",
    "I'll don't we've 1234567", "Yes , it is .", "a  \n\n  b\n", "don't", "   leading and trailing   ",
]


def strings():
    """The fixed strings and as many random ones again, built from what could go wrong."""
    rng = random.Random(20240717)
    atoms = [" ", "  ", "\n", "▁", "<s>", "</s>", "<unk>", "<image>", "<left>", "<leftmost>", "<right>", "[NEW]",
             "<pad>", "<|im_start|>", "ab", "a", "b", "s", "is", "the", " the", "é", "日", "🙂", "e\u0301", "\u00a0",
             "\u001f", "?", "<", ">", "1", "12", "'s", "ing", "Is there", "\t"]
    random_texts = ["".join(rng.choice(atoms) for _ in range(rng.randint(1, 9))) for _ in range(110)]
    wild = []
    while len(wild) < 20:
        text = "".join(chr(rng.choice([rng.randrange(0x20, 0x2000), rng.randrange(0x20,
            0x110000)])) for _ in range(6))
        if all(unicodedata.category(letter) not in ("Cs", "Cn") for letter in text):
            wild.append(text)
    return list(dict.fromkeys(FIXED + random_texts + wild))


def train_sentencepiece(**settings):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines()), model_writer=out, model_type="bpe",
        normalization_rule_name="identity", num_threads=1, minloglevel=2, **settings)
    return out.getvalue()


def odd_model():
    data = train_sentencepiece(vocab_size=150, character_coverage=0.98, remove_extra_whitespaces=True,
                               user_defined_symbols=["<|im_start|>", "<|im_end|>", "ab", "a▁"])
    model = sentencepiece_model_pb2.ModelProto.FromString(data)
    merged = [piece for piece in model.pieces if piece.type == 1 and len(piece.piece) > 1]
    for piece in merged[::5]:
        piece.type = 5
    # Equal scores, so that ties decide.
    for piece in merged:
        piece.score = round(piece.score / 6)
    return model.SerializeToString()


def yi_model():
    return train_sentencepiece(
        vocab_size=460, character_coverage=1.0, byte_fallback=True, split_digits=True, add_dummy_prefix=False,
        remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, bos_piece="<|startoftext|>",
        eos_piece="<|endoftext|>", user_defined_symbols=["<|im_start|>", "<|im_end|>"])


def llama3_json(bos):
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    split = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
             r"|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(split), "isolated"),
         pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(TEXT.splitlines(keepends=True), trainer)
    tokenizer.add_special_tokens(
        ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if bos:
        name = "<|begin_of_text|>"
        template = processors.TemplateProcessing(
            single=f"{name} $A", pair=f"{name} $A {name}:1 $B:1", special_tokens=[(name, tokenizer.token_to_id(name))])
        tokenizer.post_processor = processors.Sequence([tokenizer.post_processor, template])
    return tokenizer.to_str()


def llama_json(folder):
    """llava-hf's kind of file: Prepend and Replace as normaliser, `<image>` and `<pad>` behind the vocabulary."""
    tokenizer = LlamaTokenizerFast(
        vocab_file=str(folder / "llama.model"), legacy=True, from_slow=True, add_prefix_space=True)
    tokenizer.add_tokens(["<image>", "<pad>"], special_tokens=True)
    return tokenizer.backend_tokenizer.to_str()


def added(content, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "single_word": False,
            "normalized": False, "special": False, **flags}


def special(content, **flags):
    return added(content, special=True, **flags)


def cases(pieces, yi_end, llama3_tokens):
    """(name, class, vocabulary, JSON files of the folder).

    `pieces` is the size of llama.model, `yi_end` the id of `<|im_end|>` in yi.model, `llama3_tokens` the size of
    llama3.json.
    """
    base = {"0": special("<unk>"), "1": special("<s>"), "2": special("</s>")}
    beyond = {
        str(pieces): special("<image>"),
        str(pieces + 1): special("<pad>"),
        str(pieces + 2): added("<left>", lstrip=True),
        str(pieces + 3): added("<leftmost>"),
        # A hole before it: `[NEW]`, which has no id of its own, is numbered by the count of names.
        str(pieces + 9): special("<right>", rstrip=True),
    }
    vicuna = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>",
              "eos_token": {"__type": "AddedToken", **special("</s>")}, "pad_token": None, "unk_token": "<unk>",
              "model_max_length": 4096, "clean_up_tokenization_spaces": False, "legacy": False,
              "added_tokens_decoder": base}
    tokens = {**vicuna, "pad_token": "<pad>", "additional_special_tokens": ["<image>", "[NEW]"],
              "added_tokens_decoder": {**base, **beyond}}
    maps = {
        "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "legacy": False, "add_bos_token": False,
                                  "add_eos_token": True, "eos_token": "<s>"},
        "special_tokens_map.json": {"eos_token": "</s>", "pad_token": special("[NEW]"),
                                    "additional_special_tokens": ["<image>", special("<right>", rstrip=True)]},
        "added_tokens.json": {"<image>": pieces, "<left>": pieces + 1},
    }
    llava_hf = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
                "pad_token": "<pad>", "legacy": False, "clean_up_tokenization_spaces": False,
                "added_tokens_decoder": {**base, str(pieces): special("<image>"), str(pieces + 1): special("<pad>")}}
    llama3 = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>",
              "eos_token": "<|end_of_text|>", "clean_up_tokenization_spaces": True}
    padded = {**llama3, "pad_token": "[PAD]", "added_tokens_decoder": {str(llama3_tokens): special("[PAD]")}}
    del padded["clean_up_tokenization_spaces"]
    yi = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False, "add_eos_token": False,
          "bos_token": "<|startoftext|>", "eos_token": "<|im_end|>", "pad_token": "<unk>", "unk_token": "<unk>",
          "clean_up_tokenization_spaces": False, "legacy": False,
          "added_tokens_decoder": {"0": special("<unk>"), "1": special("<|startoftext|>"),
                                   "2": special("<|endoftext|>"), str(yi_end): special("<|im_end|>")}}
    slow, fast, plain = LlamaTokenizer, LlamaTokenizerFast, PreTrainedTokenizerFast
    return [
        ("bare, legacy", slow, "llama.model", {}),
        ("vicuna", slow, "llama.model", {"tokenizer_config.json": vicuna}),
        ("added tokens", slow, "llama.model", {"tokenizer_config.json": tokens}),
        ("added tokens, legacy", slow, "llama.model", {"tokenizer_config.json": {**tokens, "legacy": True}}),
        ("vicuna, clean-up", slow, "llama.model",
            {"tokenizer_config.json": {**vicuna, "clean_up_tokenization_spaces": True}}),
        ("yi", slow, "yi.model", {"tokenizer_config.json": yi}),
        ("yi, legacy", slow, "yi.model", {"tokenizer_config.json": {**yi, "legacy": True}}),
        ("maps", slow, "llama.model", maps),
        ("odd", slow, "odd.model", {"tokenizer_config.json": {"legacy": False}}),
        ("odd, legacy", slow, "odd.model", {"tokenizer_config.json": {"legacy": True, "pad_token": "<pad>"}}),
        ("llava-hf", fast, "llama.json", {"tokenizer_config.json": llava_hf}),
        ("llava-hf, no BOS", fast, "llama.json", {"tokenizer_config.json": {**llava_hf, "add_bos_token": False}}),
        ("llava-hf, no class", plain, "llama.json",
            {"tokenizer_config.json": {"clean_up_tokenization_spaces": True}}),
        ("llama-3", plain, "llama3.json", {"tokenizer_config.json": llama3}),
        ("llama-3, BOS", plain, "llama3-bos.json", {"tokenizer_config.json": llama3}),
        ("llama-3, pad token, clean-up not stated", plain, "llama3.json", {"tokenizer_config.json": padded}),
    ]


SYSTEM = "You are a helpful language and vision assistant."
PROMPTS = {
    "vicuna": "A chat. USER: {} ASSISTANT:",
    "vicuna, clean-up": " USER: {} ASSISTANT:",
    "yi": "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n{}<|im_end|><|im_start|>assistant\n",
    "llama-3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n" + SYSTEM
    + "<|end_of_text|><|start_header_id|>user<|end_header_id|>\n\n{}<|end_of_text|>"
    "<|start_header_id|>system<|end_header_id|>\n\n",
}
PROMPTS["llama-3, BOS"] = PROMPTS["llama-3"]
MESSAGES = ["<image>\nIs there a dog?", "<image>\n<image>\nIs there a dog?\nAnswer the question.", "<image><image>",
            "Is there a dog?", "\n<image>", "<image>\n\n  12 apples and 345 pears"]


def prompts(tokenizers):
    """Whole prompts and their ids by LLaVA's rule, each -200 a picture."""
    return [
        {"tokenizer": name, "prompt": template.format(message),
         "ids": tokenizer_image_token(tokenizers[name], template.format(message))}
        for name, template in PROMPTS.items() for message in MESSAGES
    ]


def criterion(tokenizer, string, prompt_length, record):
    """LLaVA's keyword criterion on a record of ids, slices as Python takes them."""
    keyword = tokenizer(string)["input_ids"]
    if len(keyword) > 1 and keyword[0] == tokenizer.bos_token_id:
        keyword = keyword[1:]
    if record[-len(keyword):] == keyword:
        return True
    window = record[-min(len(record) - prompt_length, len(keyword)):]
    return string in tokenizer.batch_decode([window], skip_special_tokens=True)[0]


def stops(tokenizers):
    """Ids generated behind prompts, and how many of them the criterion lets through; null where it never holds."""
    rng, cases = random.Random(7), []
    strings = [("vicuna", "</s>"), ("vicuna", "###"), ("vicuna", "the"), ("yi", "<|im_end|>"),
               ("llama-3", "<|eot_id|>"), ("llama-3, BOS", "<|eot_id|>"), ("llama-3", "the")]
    for name, string in strings:
        tokenizer = tokenizers[name]
        known = sorted(set(tokenizer.get_vocab().values()))
        spelt = tokenizer("x " + string, add_special_tokens=False)["input_ids"]
        for number in range(16):
            prompt = [rng.choice(known) for _ in range(rng.randint(2, 12))]
            generated = [rng.choice(known[260:]) for _ in range(rng.randint(3, 24))]
            if number % 4:
                at = rng.randint(0, len(generated))
                generated[at:at] = spelt
            source = ("embeddings", "ids")[number % 2]
            before = prompt if source == "ids" else [tokenizer.bos_token_id]
            lengths = range(1, len(generated) + 1)
            kept = next((n for n in lengths if criterion(tokenizer, string, len(prompt), before + generated[:n])), None)
            cases.append({"tokenizer": name, "string": string, "input": source, "prompt": prompt,
                          "generated": generated, "kept": kept})
    return cases


def id_lists(tokenizer, seed):
    rng = random.Random(seed)
    known = sorted(set(tokenizer.get_vocab().values()))
    spaced = sorted(index for text, index in tokenizer.get_vocab().items() if text[0] in "▁Ġ")
    behind = [index for index in known if index >= tokenizer.vocab_size]
    lists = [[], [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []]
    for _ in range(60):
        pools = [known, spaced, known[:260], behind or known]
        lists.append([rng.choice(rng.choices(pools, [4, 3, 2, 1])[0]) for _ in range(rng.randint(1, 8))])
    lists += [tokenizer(text)["input_ids"] for text in FIXED[-12:]]
    return lists


def all_cases(folder):
    """The cases on the vocabularies that `main` has written to `folder`."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "llama.model")).get_piece_size()
    yi_end = sentencepiece.SentencePieceProcessor(model_file=str(folder / "yi.model")).piece_to_id("<|im_end|>")
    return cases(pieces, yi_end, Tokenizer.from_file(str(folder / "llama3.json")).get_vocab_size())


def open_case(folder, kind, vocabulary, files):
    """The tokenizer of a case, from a folder as a checkpoint has it."""
    with tempfile.TemporaryDirectory() as made:
        target = "tokenizer.model" if vocabulary.endswith(".model") else "tokenizer.json"
        (Path(made) / target).write_bytes((folder / vocabulary).read_bytes())
        for file, content in files.items():
            (Path(made) / file).write_text(json.dumps(content))
        stated = "clean_up_tokenization_spaces" in files.get("tokenizer_config.json", {})
        # True is the default of the releases that the references pin, false of the one that runs here.
        default = {} if stated or kind is not PreTrainedTokenizerFast else {"clean_up_tokenization_spaces": True}
        return kind.from_pretrained(made, **default)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES
    folder.mkdir(parents=True, exist_ok=True)
    llama = train_sentencepiece(vocab_size=440, character_coverage=1.0, byte_fallback=True, split_digits=True,
                                remove_extra_whitespaces=False, allow_whitespace_only_pieces=True)
    (folder / "llama.model").write_bytes(llama)
    (folder / "odd.model").write_bytes(odd_model())
    (folder / "yi.model").write_bytes(yi_model())
    jsons = (("llama.json", llama_json(folder)), ("llama3.json", llama3_json(bos=False)),
             ("llama3-bos.json", llama3_json(bos=True)))
    for name, text in jsons:
        (folder / name).write_text(json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")) + "\n")
    texts = strings()
    raw = []
    for model in ("llama.model", "odd.model", "yi.model"):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / model))
        raw.append({"model": model, "ids": [processor.encode(text) for text in texts]})
    tokenizers, references = [], {}
    for name, kind, vocabulary, files in all_cases(folder):
        tokenizer = references[name] = open_case(folder, kind, vocabulary, files)
        decoded = [[ids, tokenizer.batch_decode([ids], skip_special_tokens=True)[0].strip()]
                   for ids in id_lists(tokenizer, name)]
        tokenizers.append({
            "name": name, "vocabulary": vocabulary, "files": files, "len": len(tokenizer),
            "bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id,
            "ids": [tokenizer(text)["input_ids"] for text in texts], "decoded": decoded})
    expected = {"texts": texts, "sentencepiece": raw, "tokenizers": tokenizers, "prompts": prompts(references),
                "stops": stops(references)}
    (folder / "expected.json").write_text(
        json.dumps(expected, ensure_ascii=False, separators=(",", ":")).replace('},{"name"', '},\n{"name"') + "\n")


if __name__ == "__main__":
    main()
