"""Says what a file of weights holds: the network, its configuration, and how it was made.

python -m models weights/atnet.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

from models.checkpoint import describe
from utils.cli import parser
from utils.errors import run

if __name__ == "__main__":
    flags = parser(__doc__)
    flags.add_argument("weights", type=Path, help="a .safetensors file")
    sys.exit(run(lambda args: print(describe(args.weights)), flags.parse_args))
