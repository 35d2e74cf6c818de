"""A clean stop between two steps."""

from __future__ import annotations

import math
import os
import signal
import time

from utils.errors import ending_signals, handled


class Stop:
    """Turns Ctrl-C, SIGTERM or SIGHUP into a request that the loop reads between two steps; the next ends the process.

    What follows within a second is the same request: a terminal and a launcher may both hand it on. Under torchrun,
    which hands on whatever it gets, and kills by itself what has not ended after 30 seconds, only the first one counts
    until the loop has saved and ended.
    """

    def __init__(self) -> None:
        self.asked = False
        self.first, self.kind = math.inf, KeyboardInterrupt  # when the first signal came, and what it means
        self.torchrun = "TORCHELASTIC_RUN_ID" in os.environ

    def __enter__(self) -> Stop:
        self.kinds = {signal.SIGINT: KeyboardInterrupt, **ending_signals()}
        self.handled = handled(self.kinds, self._ask)
        self.handled.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.handled.__exit__(*error)

    def _ask(self, number: int, _: object) -> None:
        kind = self.kinds[number]
        if not self.asked:
            self.asked, self.first, self.kind = True, time.monotonic(), kind
        elif not self.torchrun and time.monotonic() - self.first > 1:
            raise kind

    def end(self, done: int) -> None:
        """After the loop has saved `done` steps: raises what the signal stands for, if one came."""
        if self.asked:
            raise self.kind(f"saved at step {done}; run the same command again to go on")
