"""InternViT-6B's mathematics written anew from the paper and the published code: transformers has no such class.

Weights carry the names of the published files (`embeddings.class_embedding`, `encoder.layers.0.attn.qkv.weight`).
"""

import torch

functional = torch.nn.functional


def shapes(config):
    """Names and shapes of every tensor of the tower."""
    width, inner, patch = config["hidden_size"], config["intermediate_size"], config["patch_size"]
    tokens = (config["image_size"] // patch) ** 2 + 1
    found = {
        "embeddings.class_embedding": (1, 1, width),
        "embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "embeddings.patch_embedding.bias": (width,),
        "embeddings.position_embedding": (1, tokens, width),
    }
    for layer in range(config["num_hidden_layers"]):
        found |= {
            f"encoder.layers.{layer}.{name}": shape
            for name, shape in {
                "norm1.weight": (width,),
                "norm2.weight": (width,),
                "attn.qkv.weight": (3 * width, width),
                "attn.q_norm.weight": (width,),
                "attn.k_norm.weight": (width,),
                "attn.proj.weight": (width, width),
                "attn.proj.bias": (width,),
                "mlp.fc1.weight": (inner, width),
                "mlp.fc1.bias": (inner,),
                "mlp.fc2.weight": (width, inner),
                "mlp.fc2.bias": (width,),
                "ls1": (width,),
                "ls2": (width,),
            }.items()
        }
    return found


def rms(x, weight, eps):
    """Mean of squares in float32, one rounding before the weight and one behind it."""
    wide = x.float()
    scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * scaled.to(x.dtype)


def attention(query, key, value):
    """One head, `[tokens, d]` each. In 16 bits the reference's attention is fused, and how a fused kernel rounds inside is
    its own affair: that of torch stands for it."""
    if value.dtype != torch.float32:
        fused = functional.scaled_dot_product_attention(query[None, None], key[None, None], value[None, None])
        return fused[0, 0]
    scores = query @ key.T * query.shape[-1] ** -0.5
    return scores.softmax(-1) @ value


def hidden_states(pixels, weights, config):
    """`[3, side, side]` to a list of `[tokens, width]`: the embeddings, then the output of every block."""
    heads, eps = config["num_attention_heads"], config["layer_norm_eps"]
    patch = config["patch_size"]
    grid = functional.conv2d(
        pixels[None],
        weights["embeddings.patch_embedding.weight"],
        weights["embeddings.patch_embedding.bias"],
        stride=patch,
    )[0]
    patches = grid.flatten(1).T
    x = torch.cat([weights["embeddings.class_embedding"][0], patches]) + weights["embeddings.position_embedding"][0]
    states = [x]
    for layer in range(config["num_hidden_layers"]):
        w = {
            name.removeprefix(f"encoder.layers.{layer}."): value
            for name, value in weights.items()
            if name.startswith(f"encoder.layers.{layer}.")
        }
        joint = functional.linear(rms(x, w["norm1.weight"], eps), w["attn.qkv.weight"])
        query, key, value = joint.chunk(3, dim=-1)
        query = rms(query, w["attn.q_norm.weight"], eps)
        key = rms(key, w["attn.k_norm.weight"], eps)
        mixed = [
            attention(q, k, v) for q, k, v in zip(*(part.chunk(heads, dim=-1) for part in (query, key, value)))
        ]
        attended = functional.linear(torch.cat(mixed, dim=-1), w["attn.proj.weight"], w["attn.proj.bias"])
        x = x + attended * w["ls1"]
        inner = functional.gelu(functional.linear(rms(x, w["norm2.weight"], eps), w["mlp.fc1.weight"], w["mlp.fc1.bias"]))
        x = x + functional.linear(inner, w["mlp.fc2.weight"], w["mlp.fc2.bias"]) * w["ls2"]
        states.append(x)
    return states
