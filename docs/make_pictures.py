"""Redraws the pictures of the documentation: ``python docs/make_pictures.py``.

Models come from the folder ``INTARSIA_MODELS``, or else from ``../shared/models`` beside the
repository.
"""

import os
from pathlib import Path

from gen.compile import compile_graph
from gen.frontends import load
from gen.report import gantt_svg
from gen.target import Target

DOCS = Path(__file__).resolve().parent
MODELS = Path(os.environ.get("INTARSIA_MODELS", DOCS.parents[1] / "shared" / "models"))

PICTURES = {
    "resnet8_schedule.svg": ("mlperf_tiny/resnet8/resnet8_int8.tflite", Target(multipliers=144)),
}


def main() -> None:
    """Draws each picture."""
    for name, (model, target) in PICTURES.items():
        picture = gantt_svg(compile_graph(load(MODELS / model), target))
        (DOCS / name).write_text(picture, encoding="utf-8")
        print(DOCS / name)


if __name__ == "__main__":
    main()
