import pytest

from gen.loops import folded
from rtl.loops import Loops
from rtl.sequencer import Sequencer
from tests.rtl.bench_sequencer import PROGRAMS, WIDTH, WIDTHS, counting, program, straight
from tests.rtl.blocks import bench


@pytest.mark.parametrize("words", [1, 9])
def test_rom(words):
    component = Sequencer(WIDTH, words=program(words))
    bench(component, "bench_sequencer", 1, words=words, latency=Sequencer.LATENCY)


def test_ram():
    component = Sequencer(WIDTH, depth=20)
    bench(component, "bench_sequencer", 2, ram=1, words=20, latency=Sequencer.LATENCY)


@pytest.mark.parametrize(("program", "words"), [(counting, 100), (counting, 333), (straight, 70)])
def test_rom_of_loops(program, words):
    loops = folded(program(words), WIDTHS)
    assert isinstance(loops, Loops)
    component = Sequencer(WIDTH, words=loops)
    which = {"program": PROGRAMS.index(program), "words": words}
    bench(component, "bench_sequencer", 3, latency=Sequencer.LATENCY, **which)
