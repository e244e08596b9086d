"""A derivative that would silently be zero is an error."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero


def refuse_derivative(tree: Any, message: str) -> Any:
    """``tree`` itself; taking a derivative of it raises a TypeError with ``message``."""

    @jax.custom_jvp
    def same(tree: Any) -> Any:
        return tree

    def rule(primals: Any, tangents: Any) -> Any:
        (tree,), (tangent,) = primals, tangents
        moving = [t for t in jax.tree.leaves(tangent) if not isinstance(t, SymbolicZero)]
        if moving:
            raise TypeError(message)
        return tree, jax.tree.map(lambda t: jnp.zeros(t.shape, t.dtype), tangent)

    same.defjvp(rule, symbolic_zeros=True)
    result: Any = same(tree)
    return result
