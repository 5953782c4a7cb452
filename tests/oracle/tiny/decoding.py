"""Greedy decoding and the record of one case."""

import torch

from tiny.tokenizer import EOS

MAX_NEW_TOKENS = 16


def ends(eos):
    """The end tokens, one or several."""
    return (eos,) if isinstance(eos, int) else tuple(eos)


def greedy(logits_of, prompt, eos=EOS):
    """Greedy decoding without a cache: the whole sequence anew at each step."""
    tokens, first, margins = [], None, []
    while len(tokens) < MAX_NEW_TOKENS and not set(tokens[-1:]) & set(ends(eos)):
        logits = logits_of(prompt, tokens)
        first = logits if first is None else first
        best = torch.topk(logits, 2).values
        margins.append(float(best[0] - best[1]))
        tokens.append(int(logits.argmax()))
    return tokens, first, min(margins)


def finished_case(case, prompt, ids, tokens, tokenizer, margin, eos=EOS):
    """One record of cases.json."""
    return {
        **case,
        "prompt": prompt,
        "prompt_ids": ids,
        "tokens": tokens,
        "finish": "end-token" if tokens[-1] in ends(eos) else "length",
        "text": tokenizer.batch_decode([tokens], skip_special_tokens=True)[0].strip(),
        "smallest_margin": round(margin, 4),
    }
