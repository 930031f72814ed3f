import pytest

from gen.loops import folded
from rtl.loops import Loops
from rtl.sequencer import Sequencer
from tests.rtl.bench_sequencer import WIDTH, WIDTHS, counting, program
from tests.rtl.blocks import bench


@pytest.mark.parametrize("words", [1, 9])
def test_rom(words):
    component = Sequencer(WIDTH, words=program(words))
    bench(component, "bench_sequencer", 1, words=words, latency=Sequencer.LATENCY)


def test_ram():
    component = Sequencer(WIDTH, depth=20)
    bench(component, "bench_sequencer", 2, ram=1, words=20, latency=Sequencer.LATENCY)


@pytest.mark.parametrize("words", [100, 333])
def test_rom_of_loops(words):
    loops = folded(counting(words), WIDTHS)
    assert isinstance(loops, Loops)
    component = Sequencer(WIDTH, words=loops)
    bench(component, "bench_sequencer", 3, loops=1, words=words, latency=Sequencer.LATENCY)
