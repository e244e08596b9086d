"""Orthogonal bases of an array, one for each axis, that follow its gradients.

For an array with gradients ``G``, and each of its axes that is turned, with ``X`` the
change of ``G`` since the last step, unfolded into a matrix with a row for every index
along the axis:

* the moment ``M <- decay M + (1 - decay) X X' / |X|``, with the Frobenius norm ``|X|``;
* at a refresh, the basis ``Q <- the Q of QR(M Q / trace(M) + EPSILON Q)``, each column
  with the sign that lets it point the way of its predecessor.

That is a step of orthogonal iteration, which starts where the last one ended. So the
columns of ``Q`` turn smoothly towards the eigenvectors of ``M``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Keeps the columns apart along which the gradient did not change. It is close to rounding
# in float32, which has a say in where those point; that costs no steps.
EPSILON = 1e-7


class Basis(NamedTuple):
    """What is known of the directions along one axis of an array, of size ``k``.

    Attributes:
        directions: An orthogonal matrix ``(k, k)`` with a direction in each column.
        moment: The running mean ``(k, k)`` whose eigenvectors the directions approach.
    """

    directions: jax.Array
    moment: jax.Array


Bases = Sequence[Basis | None]  # for each axis; None for one that stays as it is


def new_basis(size: int, dtype: Any) -> Basis:
    """The axes as they are, of an axis of this size."""
    return Basis(jnp.eye(size, dtype=dtype), jnp.zeros((size, size), dtype))


def turn(bases: Bases, array: jax.Array) -> jax.Array:
    """The coordinates of ``array`` in the bases: of a matrix ``Q_0' array Q_1``."""
    for axis, basis in enumerate(bases):
        if basis is not None:
            array = _multiply(basis.directions.T, array, axis)
    return array


def turn_back(bases: Bases, array: jax.Array) -> jax.Array:
    """The array whose coordinates in the bases these are: ``Q_0 array Q_1'``."""
    for axis, basis in enumerate(bases):
        if basis is not None:
            array = _multiply(basis.directions, array, axis)
    return array


def observe(
    bases: Bases,
    change: jax.Array,
    condition: jax.Array,
    decay: jax.typing.ArrayLike,
) -> tuple[Bases, jax.Array]:
    """The bases with a change of the gradient in their moments, if the condition holds.

    And whether the change is finite; one that is not is left out.
    """
    # Squares of what is at most 1 don't overflow, and |X| <= largest * size doesn't.
    largest = jnp.max(jnp.abs(change))
    finite = largest < float(np.finfo(change.dtype).max) / change.size
    usable = condition & finite & (largest > 0)
    unit = jnp.where(usable, change / jnp.where(usable, largest, 1), 0)
    decay = jnp.asarray(decay, change.dtype)

    def with_moment(axis: int, basis: Basis) -> Basis:
        others = [i for i in range(unit.ndim) if i != axis]
        square = _dot(unit, unit, (others, others))
        length = jnp.sqrt(jnp.where(usable, jnp.trace(square), 1))
        weight = jnp.where(usable, (1 - decay) * largest / length, 0)
        moment = jnp.where(usable, decay, 1) * basis.moment + weight * square
        return basis._replace(moment=moment)

    observed = [
        basis if basis is None else with_moment(axis, basis)
        for axis, basis in enumerate(bases)
    ]
    return observed, finite


def refresh(basis: Basis) -> jax.Array:
    """The directions after a step of orthogonal iteration, or as before if it fails."""
    directions, moment = basis
    trace = jnp.trace(moment)
    scaled = moment / jnp.where(trace > 0, trace, 1)
    small = np.asarray(EPSILON, directions.dtype)
    new = jnp.linalg.qr(_dot(scaled, directions, 1) + small * directions)[0]
    along = jnp.sum(new * directions, axis=0, keepdims=True)
    new = jnp.where(along < 0, -new, new)
    usable = (trace > 0) & jnp.all(jnp.isfinite(new))
    return jnp.where(usable, new, directions)


def _multiply(matrix: jax.Array, array: jax.Array, axis: int) -> jax.Array:
    return jnp.moveaxis(_dot(matrix, array, ([1], [axis])), 0, axis)


def _dot(a: jax.Array, b: jax.Array, axes: Any) -> jax.Array:
    # On accelerators the default has 8 bits for each factor: too few for a small
    # coordinate beside a large one.
    product: jax.Array = jnp.tensordot(a, b, axes, precision=jax.lax.Precision.HIGHEST)
    return product
