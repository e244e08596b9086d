"""``in_eigenbasis`` in plain NumPy, in float64, written from the equations it documents.

It shares no code and no formulation with the package: what the tests compare with.
"""

import itertools
import math

import numpy as np
from oracle import Oracle

FIRST_UPDATES, FIRST_INTERVAL, LONGEST_VECTOR, RIDGE = 30, 3, 64, 1e-7


class EigenbasisOracle:
    """One run of one rule over arrays of these shapes, in bases that turn.

    ``groups`` has the positions of the arrays that are turned together, and ``bases``,
    for each of these groups, the matrix of every axis that is turned.
    """

    def __init__(
        self, variant, shapes, *, refresh_every=10, decay=0.9, max_size=256, **settings
    ):
        self.shapes = shapes
        self.refresh_every, self.decay = refresh_every, decay
        self.forgives = variant in ("rprop+", "irprop+")  # only these two undo a move
        self.groups = list(_grouped(shapes, min(max_size, LONGEST_VECTOR)))
        self.bases = [
            {
                axis: np.eye(size)
                for axis, size in enumerate(self._shape_of(group))
                if 2 <= size <= max_size
            }
            for group in self.groups
        ]
        self.moments = [
            {axis: np.zeros_like(q) for axis, q in bases.items()} for bases in self.bases
        ]
        self.last = [np.zeros(self._shape_of(group)) for group in self.groups]
        self.seen = 0
        self.rule = Oracle(variant, sum(map(math.prod, shapes)), np.float64, **settings)

    def step(self, gradients, error=None):
        """What to add to each of the arrays."""
        before = [dict(bases) for bases in self.bases]
        if error is None or math.isfinite(error):
            self._look_at(self._joined(gradients))

        seen = [
            _in_coordinates(bases, np.nan_to_num(gradient, nan=0.0))
            for bases, gradient in zip(self.bases, self._joined(gradients), strict=True)
        ]
        flat = np.concatenate([gradient.ravel() for gradient in seen])
        old_signs = np.array(self.rule.sign)
        moves = self.rule.step(flat, error)
        turned_round = old_signs * np.sign(flat) < 0
        is_undo = turned_round & self.forgives
        if error is not None and not math.isfinite(error):
            is_undo[:] = True

        forward = self._split(np.where(is_undo, 0, moves))
        backward = self._split(np.where(is_undo, moves, 0))
        self.undone = self._split(is_undo & (moves != 0))
        return self._parted(
            _along_axes(bases, ahead) + _along_axes(old, back)
            for bases, old, ahead, back in zip(
                self.bases, before, forward, backward, strict=True
            )
        )

    def _look_at(self, gradients):
        for i, gradient in enumerate(gradients):
            if not np.all(np.isfinite(gradient)):
                continue
            change, self.last[i] = gradient - self.last[i], gradient
            length = np.linalg.norm(change)
            if self.seen == 0 or length == 0:
                continue
            for axis, moment in self.moments[i].items():
                rows = np.array(
                    [change.take(j, axis).ravel() for j in range(len(moment))]
                )
                square = np.einsum("ik,jk->ij", rows, rows) / length
                self.moments[i][axis] = self.decay * moment + (1 - self.decay) * square
        interval = self.refresh_every
        if self.seen < FIRST_UPDATES:
            interval = min(interval, FIRST_INTERVAL)
        if self.seen in range(interval, self.seen + 1, interval):
            self._refresh()
        self.seen += 1

    def _refresh(self):
        for bases, moments in zip(self.bases, self.moments, strict=True):
            for axis, moment in moments.items():
                if not moment.any():
                    continue
                old, normed = bases[axis], moment / moment.trace()
                new = np.linalg.qr((normed + RIDGE * np.eye(len(old))) @ old).Q
                bases[axis] = np.column_stack(
                    [
                        column if column @ predecessor >= 0 else -column
                        for column, predecessor in zip(new.T, old.T, strict=True)
                    ]
                )

    def _shape_of(self, group):
        if len(group) == 1 and len(self.shapes[group[0]]) > 1:
            return self.shapes[group[0]]
        return (sum(math.prod(self.shapes[i]) for i in group),)

    def _joined(self, arrays):
        """An array for each group."""
        return [
            np.concatenate([np.ravel(arrays[i]) for i in group]).reshape(
                self._shape_of(group)
            )
            for group in self.groups
        ]

    def _split(self, flat):
        """The same of one vector of everything, in the order of the groups."""
        parts = []
        for group in self.groups:
            shape = self._shape_of(group)
            parts.append(flat[: math.prod(shape)].reshape(shape))
            flat = flat[math.prod(shape) :]
        return parts

    def _parted(self, arrays):
        """An array of each shape, from those of the groups."""
        parts = {}
        for group, array in zip(self.groups, arrays, strict=True):
            flat = list(array.ravel())
            for i in group:
                size = math.prod(self.shapes[i])
                parts[i] = np.reshape(flat[:size], self.shapes[i])
                del flat[:size]
        return [parts[i] for i in range(len(self.shapes))]


def _grouped(shapes, room):
    """The joint vector, in the order of the arrays; every other array on its own."""
    flat = [i for i, shape in enumerate(shapes) if len(shape) < 2 and math.prod(shape)]
    together = []
    for i in sorted(flat, key=lambda i: math.prod(shapes[i])):
        if math.prod(shapes[i]) > room:
            break
        room -= math.prod(shapes[i])
        together.append(i)
    if together:
        yield sorted(together)
    for i in range(len(shapes)):
        if i not in together:
            yield [i]


def _in_coordinates(bases, array):
    """Entry ``(i, j, ...)`` is the scalar product with the directions i, j and so on."""
    found = np.empty_like(array)
    for index in itertools.product(*map(range, array.shape)):
        partial = array
        for axis, i in reversed(list(enumerate(index))):
            direction = np.eye(array.shape[axis])[i]
            if axis in bases:
                direction = bases[axis][:, i]
            partial = np.tensordot(partial, direction, ([axis], [0]))
        found[index] = partial
    return found


def _along_axes(bases, array):
    """The sum of the products of directions that the entries are the weights of."""
    total = np.zeros_like(array)
    for index in zip(*np.nonzero(array), strict=True):
        product = array[index]
        for axis, i in enumerate(index):
            direction = np.eye(array.shape[axis])[i]
            if axis in bases:
                direction = bases[axis][:, i]
            product = np.multiply.outer(product, direction)
        total += product
    return total
