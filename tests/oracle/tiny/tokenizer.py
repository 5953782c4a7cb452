"""One small vocabulary of our own, as tokenizer.model and as tokenizer.json, built as the Llama one is."""

import io

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

from tiny.files import write_json
from tiny.text import TRAINING_TEXT

PIECES = 500
BOS, EOS = 1, 2
PICTURE_MARKER = -200


def sentencepiece_model():
    """A SentencePiece BPE model built as the Llama one is: byte fallback, identity normaliser, spaces kept."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TRAINING_TEXT),
        model_writer=out,
        model_type="bpe",
        vocab_size=PIECES,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_digits=True,
        character_coverage=1.0,
        unk_id=0,
        bos_id=BOS,
        eos_id=EOS,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return out.getvalue()


def fast_tokenizer(model_bytes):
    """The same vocabulary as a tokenizer.json in llava-hf's form, with `<image>` and `<pad>` added."""
    sp = sentencepiece.SentencePieceProcessor(model_proto=model_bytes)
    vocabulary = {sp.id_to_piece(i): i for i in range(sp.get_piece_size())}
    scored = []
    for piece, piece_id in vocabulary.items():
        parts = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        parts = [(left, right) for left, right in parts if left in vocabulary and right in vocabulary]
        parts.sort(key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
        scored += [(sp.get_score(piece_id), pair) for pair in parts]
    scored.sort(key=lambda entry: -entry[0])
    merges = [pair for _, pair in scored]
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", BOS)]
    )
    tokens = ["<unk>", "<s>", "</s>", "<image>", "<pad>"]
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in tokens])
    return tokenizer


def tokenizer_image_token(tokenizer, prompt):
    """Each text between pictures is tokenised by itself; later ones lose the BOS that the first one shows."""
    chunks = [tokenizer(chunk).input_ids for chunk in prompt.split("<image>")]
    offset = 1 if chunks[0] and chunks[0][0] == tokenizer.bos_token_id else 0
    ids = list(chunks[0])
    for chunk in chunks[1:]:
        ids += [PICTURE_MARKER, *chunk[offset:]]
    return ids


def special_token(text):
    return {"content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}


def write_tokenizer_config(folder, tokens, **more):
    """tokenizer_config.json and special_tokens_map.json of a Llama tokenizer with these added tokens; None leaves a key
    out."""
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": more.pop("pad_token"), "unk_token": "<unk>"}
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "added_tokens_decoder": {str(i): {**special_token(text), "special": True} for i, text in tokens.items()},
        **names,
        "clean_up_tokenization_spaces": False,
        "legacy": False,
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        "use_default_system_prompt": False,
        **more,
    }
    config = {key: value for key, value in config.items() if value is not None}
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "special_tokens_map.json", {key: special_token(text) for key, text in names.items()})
