"""Several processes, started by torchrun, that share one list of clips; without torchrun there is one, rank 0."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

PATIENCE = timedelta(days=7)  # one process may wait this long for the slowest


class Ranks:
    """rank, world, and what all must do together. A context manager.

    >>> with Ranks() as ranks:
    ...     mine = clips[ranks.rank :: ranks.world]
    ...     results = ranks.gather(result)
    """

    def __init__(self) -> None:
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))

    def __enter__(self) -> Ranks:
        if self.world > 1:
            from torch import distributed

            distributed.init_process_group("gloo", timeout=PATIENCE)
        return self

    def __exit__(self, *error) -> None:
        if self.world > 1:
            from torch import distributed

            distributed.destroy_process_group()

    def gather(self, value: Any) -> list[Any]:
        """The value of every process, in order of rank; returns when the last has handed in its own."""
        if self.world == 1:
            return [value]
        from torch import distributed

        values = [None] * self.world
        distributed.all_gather_object(values, value)
        return values
