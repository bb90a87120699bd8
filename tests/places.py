"""Where tests find the repository, and the real data beside it (tests that need it are skipped without)."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
