"""Where tests keep pictures for people to look at."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURES = Path(os.environ.get("FANTASYID_SCREENSHOTS", ROOT / "output" / "screenshots"))
