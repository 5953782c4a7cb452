"""A small byte-level BPE vocabulary built as the Llama-3 one is, as tokenizer.json."""

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tiny.files import write_json
from tiny.text import TRAINING_TEXT

RANKS = 480
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "[PAD]"]
BOS, EOS, EOT = RANKS, RANKS + 1, RANKS + 4
VOCABULARY = RANKS + len(SPECIAL)

# The pattern of Llama-3's own tokenizer.json.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def write_tokenizer(folder, adds_bos):
    """tokenizer.json, tokenizer_config.json and special_tokens_map.json; both kinds of post-processor are about."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=RANKS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING_TEXT, trainer)
    assert tokenizer.get_vocab_size() == RANKS
    template = processors.TemplateProcessing(
        single=f"{SPECIAL[0]} $A", pair=f"{SPECIAL[0]} $A {SPECIAL[0]} $B", special_tokens=[(SPECIAL[0], BOS)]
    )
    level = processors.ByteLevel(trim_offsets=False)
    tokenizer.post_processor = processors.Sequence([level, template]) if adds_bos else level
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    token = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    write_json(
        folder / "tokenizer_config.json",
        {
            "added_tokens_decoder": {str(RANKS + i): {"content": text, **token} for i, text in enumerate(SPECIAL)},
            "bos_token": SPECIAL[0],
            "clean_up_tokenization_spaces": True,
            "eos_token": SPECIAL[1],
            "model_input_names": ["input_ids", "attention_mask"],
            "model_max_length": 4096,
            "pad_token": "[PAD]",
            "padding_side": "right",
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )
    write_json(
        folder / "special_tokens_map.json", {"bos_token": SPECIAL[0], "eos_token": SPECIAL[1], "pad_token": "[PAD]"}
    )
