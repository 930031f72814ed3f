"""Random constant matrices, and golden products, which share nothing with the hardware."""

import numpy as np


def sparse(n: int, m: int, low: int, high: int, sparsity: float, seed: int) -> np.ndarray:
    """Integers (n, m) from ``low`` to ``high``, with exactly the share of zeros asked for."""
    rng = np.random.default_rng(seed)
    w = rng.integers(low, high, (n, m), endpoint=True)
    w[w == 0] = high
    w.ravel()[rng.permutation(n * m)[: round(sparsity * n * m)]] = 0
    return w


def vectors(inputs, count: int, seed: int) -> np.ndarray:
    """Random inputs within their intervals, the extremes among them."""
    low, high = (np.array([pair[k] for pair in inputs]) for k in (0, 1))
    x = np.random.default_rng(seed).integers(low, high, (count, len(inputs)), endpoint=True)
    x[0], x[1] = low, high
    return x
