"""`python -m engines COMMAND`: measure the speed, the memory and the tiling of model bundles."""

from __future__ import annotations

import sys

from engines.cli import main

sys.exit(main())
