"""Where the real models are, for tests that use them."""

import os
from pathlib import Path

import pytest

__all__ = ["model_path"]


def model_path(name: str) -> Path:
    """Path of ``name`` below the folder of real models; skips the test where it is absent.

    The folder is ``INTARSIA_MODELS``, or else ``../shared/models`` beside the repository.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "models"
    folder = Path(os.environ.get("INTARSIA_MODELS", beside))
    if not (folder / name).exists():
        pytest.skip(f"no {name} below {folder}; set INTARSIA_MODELS to the folder of real models")
    return folder / name
