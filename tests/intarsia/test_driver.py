"""The driver against the top of a board, in simulation, with a good line and a bad one."""

import numpy as np
import pytest

import intarsia
from gen.errors import UserError
from intarsia.driver import Driver
from intarsia.links import SerialLink, decode, encode
from sim.uart import Noise


def inputs(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(-128, 128, (count, 1, 6, 6, 2), dtype=np.int8)


@pytest.fixture(scope="module")
def small(model):
    return intarsia.compile(model, multipliers=4, offchip_bytes_per_cycle=4)


def test_a_good_line_repeats_nothing(small):
    x = inputs(3, seed=1)
    with Driver.simulation(small, timeout=5) as driver:
        assert (driver.predict(x) == small.predict(x)).all()
        assert driver.cycles > 0
        assert driver.link.repeats == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_noise_costs_repetitions_and_no_answer(small, seed):
    print("seed", seed)
    x = inputs(2, seed)
    noise = Noise(flip=1000, drop=2000, repeat=2000, seed=seed)
    with Driver.simulation(small, noise=noise, timeout=1) as driver:
        assert (driver.predict(x) == small.predict(x)).all()
        assert driver.link.repeats > 0


def test_a_line_of_pure_noise_is_mute_in_one_line(small):
    noise = Noise(flip=400_000, seed=1)
    with (
        pytest.raises(UserError, match=r"nothing answers at '.*' after 3 attempts"),
        Driver.simulation(small, noise=noise, timeout=0.05, attempts=3),
    ):
        pass


def test_an_absent_port_is_named():
    with pytest.raises(UserError, match="cannot open the serial port '/dev/absent'"):
        SerialLink("/dev/absent", baud=115200)


def test_frames_come_back_and_damaged_ones_do_not():
    rng = np.random.default_rng(5)
    for _ in range(300):
        body = (
            rng.choice([0xC0, 0xDB, 0xDC, 0xDD, 0, 7], rng.integers(2, 40)).astype("u1").tobytes()
        )
        frame = encode(body)
        assert frame[0] == frame[-1] == 0xC0
        assert 0xC0 not in frame[1:-1]
        assert decode(frame[1:-1]) == body
        place = int(rng.integers(1, len(frame) - 1))
        damaged = bytearray(frame)
        damaged[place] ^= 1 << int(rng.integers(8))
        assert decode(bytes(damaged[1:-1])) != body
        assert decode(bytes(damaged[1:-1]).replace(b"\xc0", b"")) is None
