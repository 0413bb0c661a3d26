# SPDX-License-Identifier: Apache-2.0
"""Train shapes-ssd with PyTorch on a CPU and write its weights, batch norm folded, to weights.npz.

    python train.py --output weights.npz

Positives are the anchors that overlap an object by half, and the best three of each object. Scores are
trained with the quality focal loss and boxes with GIoU, so that a score also says how well its box fits.

Sources: quality focal loss, Li et al. 2020 (arXiv:2006.04388); GIoU, Rezatofighi et al. 2019
(arXiv:1902.09630); box coding with variances, SSD (arXiv:1512.02325).
"""

from __future__ import annotations

import argparse
import copy
import math
import time

import data
import network
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SEED = 20240501
POSITIVE_IOU, IGNORED_IOU, BEST_OF_OBJECT, LEAST_IOU = 0.5, 0.4, 3, 0.2


class Detector(nn.Module):
    """The layer table as a trainable module."""

    def __init__(self) -> None:
        super().__init__()
        self.table = network.layers()
        self.convolutions = nn.ModuleList()
        self.norms = nn.ModuleList()
        for layer in self.table:
            groups = layer.inputs if layer.depthwise else 1
            padding = 1 if layer.kernel == 3 and layer.stride == 1 else 0
            convolution = nn.Conv2d(
                layer.inputs, layer.filters, layer.kernel, layer.stride, padding, groups=groups, bias=not layer.clipped
            )
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out" if layer.depthwise else "fan_in")
            if not layer.clipped:
                assert convolution.bias is not None
                nn.init.normal_(convolution.weight, std=0.01)
                nn.init.constant_(convolution.bias, -4.6 if layer.name.startswith("scores") else 0.0)
            self.convolutions.append(convolution)
            self.norms.append(nn.BatchNorm2d(layer.filters) if layer.clipped else nn.Identity())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, 3, 128, 128]`` to box offsets ``[B, N, 4]`` and score logits ``[B, N, C]``."""
        maps = {"image": image}
        for layer, convolution, norm in zip(self.table, self.convolutions, self.norms):
            x = maps[layer.source]
            if layer.stride == 2:
                x = functional.pad(x, (0, 1, 0, 1))
            x = norm(convolution(x))
            maps[layer.name] = functional.relu6(x) if layer.clipped else x
        batch = image.shape[0]
        boxes, scores = (
            [maps[f"{head}{i}"].permute(0, 2, 3, 1).reshape(batch, -1, width) for i in range(len(network.LEVELS))]
            for head, width in (("boxes", 4), ("scores", len(network.CLASSES)))
        )
        return torch.cat(boxes, 1), torch.cat(scores, 1)


def folded_weights(model: Detector) -> network.Weights:
    """The weights of inference: each batch norm multiplied into the convolution before it."""
    weights: network.Weights = {}
    for layer, convolution, norm in zip(model.table, model.convolutions, model.norms):
        assert isinstance(convolution, nn.Conv2d)
        weight = convolution.weight.detach().double()
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None and norm.running_var is not None
            scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
            bias = norm.bias.detach().double() - norm.running_mean.double() * scale
            weight = weight * scale.reshape(-1, 1, 1, 1)
        else:
            assert convolution.bias is not None
            bias = convolution.bias.detach().double()
        weights[f"{layer.name}/weight"] = weight.float().numpy()
        weights[f"{layer.name}/bias"] = bias.float().numpy()
    return weights


def corners(boxes: Tensor) -> Tensor:
    """``cx, cy, w, h`` to ``x1, y1, x2, y2``."""
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Offsets to corners: centre ``a + o * variance * size``, size ``size * exp(o * variance)``."""
    centre = anchors[..., :2] + offsets[..., :2] * network.VARIANCES[0] * anchors[..., 2:]
    size = anchors[..., 2:] * torch.exp((offsets[..., 2:] * network.VARIANCES[1]).clamp(max=4.0))
    return corners(torch.cat([centre, size], -1))


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of corner boxes, broadcast over all but the last axis."""
    inner = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    inner = inner.clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inner
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    iou = inner / union.clamp(min=1e-9)
    return iou, iou - (hull - union) / hull.clamp(min=1e-9)


def assign(objects: Tensor, anchor_corners: Tensor) -> Tensor:
    """For each anchor the index of its object, or -1 (background), or -2 (ignored)."""
    iou, _ = overlap(objects[:, None, 1:], anchor_corners[None])
    best, owner = iou.max(0)
    chosen = torch.where(best >= POSITIVE_IOU, owner, torch.where(best >= IGNORED_IOU, -2, -1))
    top = iou.topk(BEST_OF_OBJECT, dim=1)
    for rank in range(BEST_OF_OBJECT - 1, -1, -1):  # the best last, so that it wins a contest
        for index in range(objects.shape[0]):
            anchor = int(top.indices[index, rank])
            if rank == 0 or (float(top.values[index, rank]) >= LEAST_IOU and int(chosen[anchor]) < 0):
                chosen[anchor] = index
    return chosen


def loss_of(
    offsets: Tensor, logits: Tensor, owners: Tensor, targets: Tensor, classes: Tensor, anchors: Tensor
) -> Tensor:
    """The sum of score and box loss for a batch; ``classes`` is meaningful where ``owners >= 0``."""
    positive = owners >= 0
    iou, giou = overlap(decode(offsets, anchors)[positive], targets[positive])
    wanted = torch.zeros_like(logits)
    where = positive.nonzero(as_tuple=True)
    wanted[where[0], where[1], classes[positive]] = iou.detach().clamp(min=0.0)
    focus = (torch.sigmoid(logits.detach()) - wanted).abs().pow(2.0)
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    kept = (owners != -2).unsqueeze(-1)
    count = positive.sum().clamp(min=1)
    return (entropy * focus * kept).sum() / count + 2.0 * (1 - giou).mean()


SYMMETRIES = tuple((flip_x, flip_y, swap) for flip_x in (0, 1) for flip_y in (0, 1) for swap in (0, 1))


def mirrored(boxes: np.ndarray, symmetry: tuple[int, int, int]) -> np.ndarray:
    """``[n, 5]`` objects after transposing (first), then mirroring in x and in y."""
    flip_x, flip_y, swap = symmetry
    out = boxes.copy()
    if swap:
        out[:, 1:] = out[:, [2, 1, 4, 3]]
    if flip_x:
        out[:, [1, 3]] = 1 - out[:, [3, 1]]
    if flip_y:
        out[:, [2, 4]] = 1 - out[:, [4, 2]]
    return out


class Batches:
    """All training images in memory, with anchor assignments made once for each of the 8 symmetries."""

    def __init__(self, samples: list[data.Sample], anchors: Tensor) -> None:
        self.images = np.stack([pixels for pixels, _ in samples])
        count, total = len(samples), anchors.shape[0]
        anchor_corners = corners(anchors)
        self.owners = np.zeros((8, count, total), dtype=np.int8)
        self.objects = np.zeros((8, count, 8, 5), dtype=np.float32)
        for s, symmetry in enumerate(SYMMETRIES):
            for i, (_, boxes) in enumerate(samples):
                moved = mirrored(boxes, symmetry)
                self.owners[s, i] = assign(torch.from_numpy(moved), anchor_corners).numpy()
                self.objects[s, i, : len(moved)] = moved

    def get(self, rows: np.ndarray, random: np.random.RandomState) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images ``[B, 3, H, W]``, owners ``[B, N]``, target corners ``[B, N, 4]``, classes ``[B, N]``."""
        s = random.randint(8)
        flip_x, flip_y, swap = SYMMETRIES[s]
        pixels = torch.from_numpy(self.images[rows][..., random.permutation(3)]).permute(0, 3, 1, 2)
        image = (pixels.float() - 127.5) / 127.5
        if swap:
            image = image.transpose(2, 3)
        dims = [d for d, on in ((3, flip_x), (2, flip_y)) if on]
        if dims:
            image = image.flip(dims)
        owners = torch.from_numpy(self.owners[s][rows].astype(np.int64))
        objects = torch.from_numpy(self.objects[s][rows])
        own = torch.gather(objects, 1, owners.clamp(min=0).unsqueeze(-1).expand(-1, -1, 5))
        return image.contiguous(memory_format=torch.channels_last), owners, own[..., 1:], own[..., 0].long()


def train(images: int, epochs: int, batch: int, peak: float, output: str) -> None:
    """Train from scratch and write the averaged weights after every tenth of the way."""
    torch.manual_seed(SEED)
    random = np.random.RandomState(SEED)
    anchors = torch.from_numpy(network.anchors())
    started = time.monotonic()
    batches = Batches(data.train_samples(images, network.INPUT_SIZE), anchors)
    print(f"{time.monotonic() - started:.0f} s: {images} images ready", flush=True)
    model = Detector().to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}], lr=peak
    )
    steps = images // batch * epochs
    step, running = 0, 0.0
    while step < steps:
        order = random.permutation(images)
        for start in range(0, images - batch + 1, batch):
            rate = peak * min(1.0, (step + 1) / 300) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
            for group in optimiser.param_groups:
                group["lr"] = rate
            image, owners, targets, classes = batches.get(order[start : start + batch], random)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                offsets, logits = model(image)
            loss = loss_of(offsets.float(), logits.float(), owners, targets, classes, anchors)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimiser.step()
            step += 1
            keep = min(0.998, step / (step + 20))
            with torch.no_grad():
                for mine, theirs in zip(average.state_dict().values(), model.state_dict().values()):
                    if mine.dtype.is_floating_point:
                        mine.lerp_(theirs, 1 - keep)
                    else:
                        mine.copy_(theirs)
            running += float(loss.detach())
            if step % 50 == 0:
                print(f"{time.monotonic() - started:.0f} s: step {step}/{steps} loss {running / 50:.4f}", flush=True)
                running = 0.0
            if step % max(1, steps // 10) == 0 or step == steps:
                network.save_weights(output, folded_weights(average))


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train shapes-ssd.")
    parser.add_argument("--output", default="weights.npz")
    parser.add_argument("--images", type=int, default=12000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.images, options.epochs, options.batch, options.rate, options.output)


if __name__ == "__main__":
    main()
