"""How a script tells a person about a mistake: one line, exit status 2, no traceback."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable


class UserError(Exception):
    """A mistake that the user can mend. The message names the file and says what to do."""


def run(main: Callable[[Namespace], None], parse_args: Callable[[], Namespace | ArgumentParser]) -> int:
    """Runs a script and returns its exit status: 0, 2 after a `UserError`, 130 after Ctrl-C."""
    try:
        main(parse_args())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"interrupted: {stop}" if str(stop) else "interrupted", file=sys.stderr)
        return 130
    return 0
