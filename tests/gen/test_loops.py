"""Programs in loops hold the same words in less ROM."""

from hypothesis import given
from hypothesis import strategies as st

from gen.loops import LONGEST, folded
from rtl.loops import Loops

WIDTHS = (3, 5, 7)

bodies = st.tuples(
    st.lists(st.integers(0, (1 << sum(WIDTHS)) - 1), min_size=1, max_size=6), st.integers(1, 40)
)


def words_of(loops: Loops) -> list[int]:
    """The words that the steps make, by their definition."""
    words: list[int] = []
    now, index, turn = [0] * len(loops.widths), 0, 0
    while index < len(loops.steps):
        step, at = loops.steps[index], 0
        for place, width in enumerate(loops.widths):
            now[place] = (now[place] + (step.change >> at)) % (1 << width)
            at += width
        word, at = 0, 0
        for value, width in zip(now, loops.widths, strict=True):
            word |= value << at
            at += width
        words.append(word)
        if turn < step.again:
            turn, index = turn + 1, index - step.back
        else:
            turn, index = 0 if step.again else turn, index + 1
    return words


def bits(program) -> int:
    if isinstance(program, Loops):
        return len(program.steps) * program.width
    return len(program) * sum(WIDTHS)


@given(st.lists(bodies, max_size=12))
def test_loops_make_the_words_that_were_folded(parts):
    words = [word for body, times in parts for word in body * times]
    program = folded(words, WIDTHS)
    if isinstance(program, Loops):
        assert words_of(program) == words
        assert 2 * bits(program) <= len(words) * sum(WIDTHS)
    else:
        assert program == words


def test_a_count_takes_two_steps():
    words = [(3 + 5 * i) % 128 << 8 for i in range(10_000)]
    program = folded(words, WIDTHS)
    assert isinstance(program, Loops)
    assert len(program.steps) == 2
    assert words_of(program) == words


def test_what_does_not_repeat_stays_as_it_is():
    words = [i * i * 2_654_435_761 % (1 << 15) for i in range(LONGEST * 4)]
    assert folded(words, WIDTHS) == words
