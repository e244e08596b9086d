"""A derivative that would silently be zero is an error."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero


def refuse_derivative(tree: Any, message: str) -> Any:
    """``tree`` itself; taking a derivative of it raises a TypeError with ``message``.

    What is not traced has no derivative, and need not be an array.
    """

    @jax.custom_jvp
    def same(traced: Any) -> Any:
        return traced

    def rule(primals: Any, tangents: Any) -> Any:
        (traced,), (tangent,) = primals, tangents
        moving = [t for t in jax.tree.leaves(tangent) if not isinstance(t, SymbolicZero)]
        if moving:
            raise TypeError(message)
        return traced, jax.tree.map(lambda t: jnp.zeros(t.shape, t.dtype), tangent)

    same.defjvp(rule, symbolic_zeros=True)
    leaves = jax.tree.leaves(tree)
    structure: Any = jax.tree.structure(tree)
    refused = iter(same([leaf for leaf in leaves if isinstance(leaf, jax.core.Tracer)]))
    return structure.unflatten(
        next(refused) if isinstance(leaf, jax.core.Tracer) else leaf for leaf in leaves
    )
