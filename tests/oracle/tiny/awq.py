"""Linears of four bits as AWQ stores them, in the three packings of llm-awq (v2, v1) and AutoAWQ (gemm): quantised,
packed with whole-array reshapes, and unpacked again index by index, so that one checks the other."""

import numpy as np
import torch

GROUP = 128
# The order in which AutoAWQ lays eight columns into a word, lowest nibble first.
GEMM = [0, 2, 4, 6, 1, 3, 5, 7]
LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def quantised(weight, group=GROUP):
    """llm-awq's `pseudo_quantize_tensor`: values 0 to 15, one float16 scale and one zero point a group of columns."""
    n, k = weight.shape
    groups = weight.reshape(n, k // group, group)
    low, high = groups.min(axis=2), groups.max(axis=2)
    scale = (np.maximum(high - low, 1e-5) / 15).astype(np.float16)
    wide = scale.astype(np.float32)
    zero = np.clip(-np.round(low / wide), 0, 15)
    q = np.clip(np.round(groups / wide[:, :, None]) + zero[:, :, None], 0, 15)
    return q.reshape(n, k).astype(np.int64), scale, zero.astype(np.int64)


def words(nibbles, kind):
    """The last axis, lowest nibble first, to one word each."""
    shifts = 4 * np.arange(nibbles.shape[-1], dtype=np.uint32)
    return (nibbles.astype(np.uint32) << shifts).sum(axis=-1, dtype=np.uint32).astype(kind)


def padded(groups, width):
    """Zero columns up to eight times `width`."""
    return np.pad(groups, [(0, 0), (0, 8 * width - groups.shape[1])])


def spread(groups, columns):
    """One value a group to one a column."""
    return np.repeat(groups.astype(np.float32), columns // groups.shape[1], axis=1)


def v2(q, scale, zero):
    """Within 32 columns the axes (d, g, e) of 8d + 2g + e become (g, e, d); four rows share each 64 words."""
    n, k = q.shape
    ordered = q.reshape(n, k // 32, 4, 4, 2).transpose(0, 1, 3, 4, 2).reshape(n // 4, 4, k // 64, 64)
    blocks = ordered.transpose(0, 2, 1, 3).reshape(n // 4, k, 4)
    width = -(-(k // GROUP) // 8)
    minus = -(scale.astype(np.float32) * zero.astype(np.float32)).astype(np.float16)
    value = q.astype(np.float32) * spread(scale, k) + spread(minus, k)
    return {
        "qweight": words(blocks, np.uint16).view(np.int16),
        "scales": padded(scale, width).T,
        "scaled_zeros": padded(minus, width).T,
        "weight": value.astype(np.float16),
    }


def v1(q, scale, zero):
    n, k = q.shape
    width = -(-(k // GROUP) // 8)
    return {
        "qweight": words(q.reshape(n, k // 8, 8), np.uint32).view(np.int32),
        "scales": padded(scale, width),
        "qzeros": words(padded(zero, width).reshape(n, width, 8), np.uint32).view(np.int32),
        "weight": ((q.astype(np.float32) - spread(zero, k)) * spread(scale, k)).astype(np.float16),
    }


def gemm(q, scale, zero):
    k = q.shape[1]
    columns = lambda rows: words(rows.T.reshape(rows.shape[1], -1, 8)[:, :, GEMM], np.uint32).view(np.int32)
    return {
        "qweight": columns(q),
        "scales": scale.T,
        "qzeros": columns(zero),
        "weight": ((q.astype(np.float32) - spread(zero, k)) * spread(scale, k)).astype(np.float16),
    }


PACKINGS = {pack.__name__: pack for pack in (v2, v1, gemm)}


def packed_state(state, packing, group=GROUP):
    """`state` with the linears of the decoder's layers in four bits; all else in float16."""
    found = {}
    for name, value in state.items():
        stem = name.removesuffix(".weight")
        if not stem.endswith(LINEARS) or "vision" in stem:
            found[name] = value.to(torch.float16) if value.is_floating_point() else value
            continue
        parts = PACKINGS[packing](*quantised(value.float().numpy(), group))
        weight = parts.pop("weight")
        found |= {f"{stem}.{part}": torch.from_numpy(np.ascontiguousarray(array)) for part, array in parts.items()}
        again = unpacked({part: found[f"{stem}.{part}"].numpy() for part in parts})
        assert np.array_equal(again, weight), (name, packing)
    return found


def plain_state(state):
    """`state` with every linear of four bits as the float16 weight that it stands for."""
    found = {}
    for name, value in state.items():
        stem, part = name.rpartition(".")[::2]
        if part == "qweight":
            buffers = {key: state[f"{stem}.{key}"] for key in ("qweight", "scales", "qzeros", "scaled_zeros")
                       if f"{stem}.{key}" in state}
            weight = unpacked({key: buffer.numpy() for key, buffer in buffers.items()})
            found[f"{stem}.weight"] = torch.from_numpy(weight)
        elif part not in ("scales", "qzeros", "scaled_zeros"):
            found[name] = value
    return found


def unpacked(buffers):
    """The float16 weight `[N, K]` behind three buffers, by the formulas that give each nibble its place: product and sum
    in float32, one rounding."""
    qweight, scales = buffers["qweight"], buffers["scales"].astype(np.float32)
    if qweight.dtype == np.int16:
        rows, k = qweight.shape
        i, j, t = np.indices((rows, k, 4))
        row = 4 * i + j % 64 // 16
        x = 64 * (j // 64) + 4 * (j % 16) + t
        b, y = x // 32, x % 32
        column = 32 * b + 8 * (y % 4) + 2 * (y // 8) + y % 8 // 4
        q = np.zeros((4 * rows, k), np.float32)
        q[row, column] = qweight.view(np.uint16)[i, j] >> (4 * t) & 15
        zeros = buffers["scaled_zeros"].astype(np.float32)
        group = np.arange(k) // GROUP
        return (q * scales[group].T + zeros[group].T).astype(np.float16)
    nibble = lambda array, t: array.view(np.uint32)[..., None] >> np.array(4 * t, np.uint32) & 15
    zeros = buffers["qzeros"]
    if zeros.shape[0] == scales.shape[0] and scales.shape[1] == 8 * qweight.shape[1]:
        place = np.argsort(GEMM)
        q = nibble(qweight, place).reshape(len(qweight), -1).astype(np.float32)
        zero = nibble(zeros, place).reshape(len(zeros), -1).astype(np.float32)
        group = np.arange(len(q)) // (len(q) // len(zero))
        return ((q - zero[group]) * scales[group]).T.astype(np.float16)
    q = nibble(qweight, np.arange(8)).reshape(len(qweight), -1).astype(np.float32)
    zero = nibble(zeros, np.arange(8)).reshape(len(zeros), -1).astype(np.float32)
    group = np.arange(q.shape[1]) // GROUP
    return ((q - zero[:, group]) * scales[:, group]).astype(np.float16)
