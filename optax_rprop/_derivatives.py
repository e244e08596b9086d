"""A derivative that would silently be zero is an error."""

from typing import Any, NoReturn

import jax


def refuse_derivative(tree: Any, message: str) -> Any:
    """``tree`` itself; taking a derivative of it raises a TypeError with ``message``.

    What is not traced has no derivative, and need not be an array.
    """

    @jax.custom_jvp
    def same(traced: Any) -> Any:
        return traced

    @same.defjvp  # JAX calls it only where something depends on what is differentiated
    def rule(primals: Any, tangents: Any) -> NoReturn:
        raise TypeError(message)

    leaves = jax.tree.leaves(tree)
    structure: Any = jax.tree.structure(tree)
    refused = iter(same([leaf for leaf in leaves if isinstance(leaf, jax.core.Tracer)]))
    return structure.unflatten(
        next(refused) if isinstance(leaf, jax.core.Tracer) else leaf for leaf in leaves
    )
