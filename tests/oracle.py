"""The four rules in plain NumPy, one scalar at a time, written from the papers' branches.

It shares no code and no formulation with the package: what the tests compare with.
"""

import math

import numpy as np


class Oracle:
    """One run of one rule over a flat vector of coordinates.

    ``dtype`` is that of the step sizes and of every product, so that the package, with
    parameters of the same dtype, has to agree bit for bit.
    """

    def __init__(
        self,
        variant,
        size,
        dtype,
        *,
        learning_rate=0.1,
        eta_minus=0.5,
        eta_plus=1.2,
        min_step_size=1e-6,
        max_step_size=50.0,
    ):
        self.variant = variant
        self.dtype = np.dtype(dtype).type
        self.eta_minus, self.eta_plus = self.dtype(eta_minus), self.dtype(eta_plus)
        self.smallest, self.largest = self.dtype(min_step_size), self.dtype(max_step_size)
        self.delta = [self.dtype(learning_rate)] * size
        self.sign = [0] * size
        self.error = math.inf

    def step(self, gradient, error=None):
        """What to add to every coordinate; ``error`` is the loss, where one is given."""
        if error is not None and not math.isfinite(error):
            return np.array([self._reject(i) for i in range(len(self.delta))], self.dtype)
        rose = error is not None and error > self.error
        moves = [self._coordinate(i, g, rose) for i, g in enumerate(gradient)]
        if error is not None:
            self.error = error
        return np.array(moves, self.dtype)

    def _grow(self, delta):
        return min(delta * self.eta_plus, self.largest)

    def _shrink(self, delta):
        return max(delta * self.eta_minus, self.smallest)

    def _coordinate(self, i, g, rose):
        sign = 0
        if g > 0:
            sign = 1
        elif g < 0:
            sign = -1
        before, old_delta = self.sign[i], self.delta[i]

        if sign * before > 0:
            self.delta[i] = self._grow(old_delta)
            self.sign[i] = sign
            return -self.delta[i] if sign > 0 else self.delta[i]

        if sign * before < 0:
            self.delta[i] = self._shrink(old_delta)
            if self.variant == "rprop-":
                self.sign[i] = sign
                return -self.delta[i] if sign > 0 else self.delta[i]
            self.sign[i] = 0
            if self.variant == "rprop+" or (self.variant == "irprop+" and rose):
                return old_delta if before > 0 else -old_delta
            return self.dtype(0)

        self.sign[i] = sign
        if sign == 0:
            return self.dtype(0)
        return -self.delta[i] if sign > 0 else self.delta[i]

    def _reject(self, i):
        before, old_delta = self.sign[i], self.delta[i]
        self.delta[i] = self._shrink(old_delta)
        self.sign[i] = 0
        if before == 0:
            return self.dtype(0)
        return old_delta if before > 0 else -old_delta


class GridOracle(Oracle):
    """The same branches where step sizes are the entries of a list: the 8-bit grid."""

    def __init__(
        self,
        variant,
        size,
        *,
        learning_rate=0.125,
        min_step_size=2**-20,
        max_step_size=2.0,
    ):
        super().__init__(variant, size, np.float32, learning_rate=learning_rate)
        sizes = [m * 2.0**k for k in range(-126, 127) for m in (1, 1.25, 1.5, 1.75)]
        self.grid = [
            np.float32(size) for size in sizes if min_step_size <= size <= max_step_size
        ]

    def _grow(self, delta):
        return self.grid[min(self.grid.index(delta) + 1, len(self.grid) - 1)]

    def _shrink(self, delta):
        return self.grid[max(self.grid.index(delta) - 4, 0)]
