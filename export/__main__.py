"""`python -m export COMMAND`: train a network, measure it, and pack it as a model bundle."""

from __future__ import annotations

import sys

from export.cli import main

sys.exit(main())
