"""Tests of echo-stream; the folders mirror those of the package."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
"""Where the repository is."""
