"""`python -m atrains` is the command `atrains`."""

from __future__ import annotations

import sys

from atrains.cli import main

if __name__ == "__main__":
    sys.exit(main())
