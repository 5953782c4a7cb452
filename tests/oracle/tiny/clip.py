"""CLIP's vision tower as transformers 4.37 computed it: the query is scaled before the scores, softmax stays in the
working dtype. Later versions scale the scores instead, which rounds elsewhere in 16 bits.
"""

import torch

functional = torch.nn.functional


def hidden_states(pixels, weights, config, eps=1e-5):
    """`[3, side, side]` to a list of `[tokens, width]`; `weights` by the names behind `vision_model.`."""
    heads, width = config["num_attention_heads"], config["hidden_size"]

    def norm(name, x):
        return functional.layer_norm(x, (width,), weights[f"{name}.weight"], weights[f"{name}.bias"], eps)

    def linear(name, x):
        return functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    grid = functional.conv2d(pixels[None], weights["embeddings.patch_embedding.weight"], stride=config["patch_size"])
    tokens = torch.cat([weights["embeddings.class_embedding"][None], grid[0].flatten(1).T])
    x = norm("pre_layrnorm", tokens + weights["embeddings.position_embedding.weight"])
    states = [x]
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layers.{layer}"
        y = norm(f"{at}.layer_norm1", x)

        def split(name, scale=1):
            value = linear(f"{at}.self_attn.{name}", y) * scale
            return value.reshape(len(y), heads, -1).transpose(0, 1)

        query = split("q_proj", (width // heads) ** -0.5)
        chances = functional.softmax(query @ split("k_proj").transpose(1, 2), dim=-1)
        mixed = (chances @ split("v_proj")).transpose(0, 1).reshape(len(y), width)
        x = x + linear(f"{at}.self_attn.out_proj", mixed)
        inner = linear(f"{at}.mlp.fc1", norm(f"{at}.layer_norm2", x))
        x = x + linear(f"{at}.mlp.fc2", inner * torch.sigmoid(1.702 * inner))
        states.append(x)
    return states
