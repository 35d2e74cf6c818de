"""The visual-audio memory's networks as first released, written again from published facts: what ours must equal.

With the original's parameter names. Front-ends are those of VCA-GAN (models/original/vcagan.py) but for the pooling.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import NETWORKS
from models.original import vcagan
from models.original.memory_names import read_memory
from models.reading.reader import LipReader
from tests.models.lips.originals import lively

RADIUS = 16.0


class Visual(nn.Module):
    """mouths (B, 1, S, 112, 112) -> (B, S, 8 w)"""

    def __init__(self, width: int) -> None:
        super().__init__()
        whole = vcagan.Visual_front(width, 4)
        self.frontend, self.resnet = whole.frontend, whole.resnet
        self.resnet.avgpool = nn.AvgPool2d(3)

    def forward(self, mouths: Tensor) -> Tensor:
        return torch.stack([self.resnet(frame) for frame in self.frontend(mouths).unbind(2)], dim=1)


class Audio(nn.Module):
    """mel (B, 1, 80, 4 S) -> (B, S, d)"""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        whole = vcagan.sync_Discriminator(features, width)
        self.frontend, self.Res_block, self.Linear = whole.frontend, whole.Res_block, whole.Linear

    def forward(self, mel: Tensor) -> Tensor:
        columns = self.Res_block(self.frontend(mel)).unbind(3)
        return torch.stack([self.Linear(column.flatten(1)) for column in columns], dim=1)


class Store(nn.Module):
    """seen (B, S, v), sound (B, S, d) or None -> both fusions, both losses, both addresses; frame by frame"""

    def __init__(self, seen: int, width: int, slots: int) -> None:
        super().__init__()
        self.key, self.value = (nn.Parameter(torch.randn(slots, width) / 2) for _ in range(2))
        self.q_embd, self.v_embd = nn.Linear(seen, width), nn.Linear(width, width)
        self.fusion = nn.Linear(seen + width, width)

    def weights(self, asked: Tensor, slots: Tensor) -> Tensor:
        """asked (d,), slots (N, d) -> (N,)"""
        cosines = torch.stack([asked @ slot / asked.norm() / slot.norm() for slot in slots])
        lit = (RADIUS * cosines).exp()
        return lit / lit.sum()

    def forward(self, seen: Tensor, sound: Tensor) -> dict[str, Tensor]:
        made: dict[str, list] = dict(te=[], tr=[], recon=[], add=[], seen=[], heard=[], rebuilt=[])
        for v, a in zip(seen.flatten(0, 1), sound.flatten(0, 1), strict=True):
            by_mouth = self.weights(self.q_embd(v), self.key)
            by_sound = self.weights(self.v_embd(a.detach()), self.value)
            rebuilt = by_sound @ self.value
            made["te"].append(self.fusion(torch.cat([v, by_mouth @ self.value.detach()])))
            made["tr"].append(self.fusion(torch.cat([v, a])))
            made["recon"].append((rebuilt - a.detach()).square().mean())
            target = by_sound.detach()
            made["add"].append((target * (target.log() - by_mouth.log())).sum())
            for name, one in (("seen", by_mouth), ("heard", by_sound), ("rebuilt", rebuilt)):
                made[name].append(one)
        stacked = {name: torch.stack(ones) for name, ones in made.items()}
        return {
            name: x.mean() if x.ndim == 1 else x.unflatten(0, seen.shape[:2]) for name, x in stacked.items()
        }


class Gru(nn.Module):
    """(B, S, F) -> (B, classes)"""

    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.gru = nn.GRU(features, width, num_layers=2, bidirectional=True, dropout=0.3)
        self.fc = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        made, _ = self.gru(x.transpose(0, 1))
        return self.fc(made.sum(0) / x.shape[1])


class Chomped(nn.Module):
    """A branch: padded twice as much as needed, normalised, cut to its length"""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding=(kernel - 1) * dilation)
        self.batchnorm, self.non_lin = nn.BatchNorm1d(outputs), nn.PReLU(outputs)
        self.cut = (kernel - 1) * dilation // 2

    def forward(self, x: Tensor) -> Tensor:
        return self.non_lin(self.batchnorm(self.conv(x))[..., self.cut : -self.cut])


class Block(nn.Module):
    def __init__(self, inputs: int, branch: int, dilation: int) -> None:
        super().__init__()
        for row, width in enumerate((inputs, 3 * branch)):
            for number, kernel in enumerate((3, 5, 7)):
                self.add_module(f"cbcr{row}_{number}", Chomped(width, branch, kernel, dilation))
        self.downsample, self.relu_final = nn.Conv1d(inputs, 3 * branch, 1), nn.PReLU(3 * branch)

    def forward(self, x: Tensor) -> Tensor:
        made = x
        for row in (0, 1):
            made = torch.cat([self.get_submodule(f"cbcr{row}_{i}")(made) for i in range(3)], dim=1)
        return self.relu_final(made + self.downsample(x))


class Tcn(nn.Module):
    """(B, S, F) -> (B, classes)"""

    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        branch = width // 2
        self.tcn = nn.Module()
        self.tcn.mb_ms_tcn = nn.Module()
        self.tcn.mb_ms_tcn.network = nn.Sequential(
            *(Block(3 * branch if i else features, branch, 2**i) for i in range(4))
        )
        self.tcn.tcn_output = nn.Linear(3 * branch, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.tcn.tcn_output(self.tcn.mb_ms_tcn.network(x.transpose(1, 2)).mean(2))


def reference(
    backend: str = "GRU", front: int = 3, hearing: int = 4, width: int = 24, slots: int = 7, classes: int = 5
) -> dict[str, nn.Module]:
    """The original's four networks by the names of its checkpoints' parts; by default small, no two layers alike"""
    back = Gru if backend == "GRU" else Tcn
    return dict(
        v_front=Visual(front),
        a_front=Audio(width, hearing),
        mem=Store(8 * front, width, slots),
        back=back(width, width, classes),
    )


def seeded(backend: str = "GRU", seed: int = 0, **widths: int) -> dict[str, nn.Module]:
    """The same with seeded weights, `lively`"""
    torch.manual_seed(seed)
    return {part: lively(network) for part, network in reference(backend, **widths).items()}


def run(networks: dict[str, nn.Module], mouths: Tensor, mel: Tensor, label: Tensor) -> dict[str, Tensor]:
    """mouths (B, S, 112, 112), mel (B, 80, 4 S), label (B,) -> logits te and tr, losses, addresses, and `total`"""
    sound = networks["a_front"](mel.unsqueeze(1))
    made = networks["mem"](networks["v_front"](mouths.unsqueeze(1)), sound) | dict(sound=sound)
    for name in ("te", "tr"):
        made[name] = networks["back"](made[name])
    words = sum(F.cross_entropy(made[name], label) for name in ("te", "tr"))
    return made | dict(total=words + made["add"] + made["recon"])


def checkpoint(networks: dict[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    """What the original's training would save of them"""
    return {f"{part}_state_dict": network.state_dict() for part, network in networks.items()}


def ours(saved: dict) -> LipReader:
    """With the checkpoint's weights, in eval mode"""
    name, config, tensors = read_memory(saved, None, Path("original.ckpt"))
    network = NETWORKS[name](**config)
    missing, unknown = network.load_state_dict(tensors, strict=False)
    assert not unknown and all(one.endswith("num_batches_tracked") for one in missing)
    return network.eval()
