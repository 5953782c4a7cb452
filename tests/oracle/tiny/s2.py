"""S2 written anew from its definition: the picture at several scales, each cut into tiles of the tower's size."""

import math

import torch

functional = torch.nn.functional


def features(pixels, scales, tile, tower):
    """`[3, side, side]` to `[tokens, scales · width]`; `tower` maps `[3, tile, tile]` to `[tokens, width]`."""
    maps = []
    for scale in sorted(scales):
        resized = functional.interpolate(pixels[None].float(), size=(scale, scale), mode="bicubic")[0]
        resized = resized.to(pixels.dtype)
        rows = []
        for top in range(0, scale, tile):
            row = []
            for left in range(0, scale, tile):
                tokens = tower(resized[:, top : top + tile, left : left + tile])
                side = math.isqrt(tokens.shape[0])
                row.append(tokens.reshape(side, side, -1))
            rows.append(torch.cat(row, dim=1))
        maps.append(torch.cat(rows, dim=0))
    side = maps[0].shape[0]
    joined = []
    for grid in maps:
        times = grid.shape[0] // side
        cells = grid.float().reshape(side, times, side, times, -1)
        joined.append(cells.mean(dim=(1, 3)).to(grid.dtype))
    return torch.cat(joined, dim=-1).flatten(0, 1)
