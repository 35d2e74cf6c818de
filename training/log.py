"""What a run shows while it goes on: a progress bar, and scalars for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from utils.distributed import is_main


class Log:
    """Scalars and pictures for TensorBoard; silent where that package is absent or this is not the main process."""

    def __init__(self, folder: Path | None) -> None:
        self.writer = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self.writer = SummaryWriter(str(folder))

    def scalars(self, prefix: str, values: dict[str, float], step: int) -> None:
        if self.writer:
            for name, value in values.items():
                self.writer.add_scalar(f"{prefix}/{name}", value, step)

    def picture(self, name: str, pixels: Tensor, step: int) -> None:
        """pixels (1 or 3, H, W), uint8 or in [0, 1]"""
        if self.writer:
            self.writer.add_image(name, pixels, step)

    def sound(self, name: str, samples: Tensor, rate: int, step: int) -> None:
        """samples (N,) in [-1, 1]"""
        if self.writer:
            self.writer.add_audio(name, samples.unsqueeze(0), step, rate)

    def close(self) -> None:
        if self.writer:
            self.writer.close()


def mean_values(values: Iterable[dict[str, Tensor | float]]) -> dict[str, float]:
    """The mean of each named value."""
    rows = list(values)
    return {
        name: float(sum(float(row[name]) for row in rows) / len(rows)) for name in (rows[0] if rows else ())
    }


class Progress:
    """A bar of training steps with a smoothed mean of each loss and the frames per second; main process only."""

    def __init__(self, steps: int, first: int, log: Log) -> None:
        self.bar = tqdm(total=steps, initial=first, unit="step", dynamic_ncols=True, disable=not is_main())
        self.log, self.frames, self.skipped, self.values, self.notes = log, 0, 0, {}, {}

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        self.log.close()

    def count(self, frames: int) -> None:
        """Notes that so many frames went through"""
        self.frames += frames

    def step(self, losses: dict[str, Tensor], step: int, skipped: bool) -> None:
        """Counts one step; every tenth is shown and logged. skipped: it was not finite and changed nothing"""
        self.skipped += skipped
        self.bar.update()
        if self.bar.disable or step % 10 or skipped:
            return
        numbers = {name: value.item() for name, value in losses.items()}
        for name, value in numbers.items():
            self.values[name] = 0.9 * self.values.get(name, value) + 0.1 * value
        self.log.scalars("train", numbers, step)
        self._show()

    def note(self, values: dict[str, float]) -> None:
        """Shows and logs validation figures, until the next ones come"""
        self.notes = {f"val_{name}": value for name, value in values.items()}
        line = ", ".join(f"{name} {value:.5g}" for name, value in self.notes.items())
        self.bar.write(f"step {self.bar.n}: {line}")
        self.log.scalars("validation", values, self.bar.n)

    def _show(self) -> None:
        speed = self.frames / max(self.bar.format_dict["elapsed"], 1e-9)
        shown = {name: f"{value:.4g}" for name, value in (self.values | self.notes).items()}
        shown |= {"skipped": self.skipped} if self.skipped else {}
        self.bar.set_postfix(shown | {"frames/s": f"{speed:.0f}"}, refresh=False)
