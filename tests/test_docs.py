"""What the documents show runs as they show it."""

import doctest
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_examples_of_graphs_run():
    result = doctest.testfile(str(DOCS / "graphs.md"), module_relative=False)
    assert result.attempted > 10
    assert result.failed == 0
