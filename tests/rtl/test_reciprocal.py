# amaranth: UnusedElaboratable=no
import pytest

from rtl.reciprocal import Reciprocal
from tests.rtl.blocks import bench


@pytest.mark.parametrize(
    ("divisor_bits", "dividend_bits", "quotient_bits"), [(39, 46, 18), (30, 46, 18), (3, 3, 1)]
)
def test_reciprocal(divisor_bits, dividend_bits, quotient_bits):
    sizes = {"dividend_bits": dividend_bits, "quotient_bits": quotient_bits}
    latency = Reciprocal.latency(quotient_bits)
    divider = Reciprocal(divisor_bits, **sizes)
    bench(divider, "bench_reciprocal", 8, divisor_bits=divisor_bits, latency=latency, **sizes)


def test_refusals():
    message = r"^dividend_bits - quotient_bits must be from 1 to 27, not 28$"
    with pytest.raises(ValueError, match=message):
        Reciprocal(28, dividend_bits=46, quotient_bits=18)
