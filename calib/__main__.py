"""`python -m calib BUNDLE`: make FP16 and INT8 graphs; `diff` and `table` compare them."""

from __future__ import annotations

import sys

from calib.cli import main

sys.exit(main())
