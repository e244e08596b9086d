"""A conditional that stays one under ``vmap``."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

T = TypeVar("T")


def cond(
    condition: jax.Array, this: Callable[..., T], that: Callable[..., T], *operands: Any
) -> T:
    """``this(*operands)`` if the condition holds, else ``that(*operands)``.

    Under ``jax.vmap``, ``jax.lax.cond`` computes both for every lane. Here ``this`` is
    computed for those lanes alone in which the condition holds. The functions must not
    close over traced values.
    """

    @jax.custom_batching.custom_vmap
    def choose(condition: jax.Array, operands: Any) -> Any:
        return jax.lax.cond(condition, this, that, *operands)

    @choose.def_vmap
    def batched(size: int, in_batched: Any, lanes: Any, operands: Any) -> Any:
        lanes_differ, operands_differ = in_batched
        lanes = lanes if lanes_differ else jnp.broadcast_to(lanes, (size,))
        in_axes = jax.tree.map(lambda differs: 0 if differs else None, operands_differ)

        def one_by_one(lanes: jax.Array, *operands: Any) -> Any:
            # Not at once: XLA's CPU backend can hang in two batched QR factorisations,
            # which wait for each other's threads.
            def lane(i: jax.Array) -> Any:
                mine = jax.tree.map(
                    lambda x, differs: x[i] if differs else x, operands, operands_differ
                )
                return jax.lax.cond(lanes[i], this, that, *mine)

            return jax.lax.map(lane, jnp.arange(size))

        def none(lanes: jax.Array, *operands: Any) -> Any:
            del lanes
            return jax.vmap(that, in_axes, axis_size=size)(*operands)

        result = cond(jnp.any(lanes), one_by_one, none, lanes, *operands)
        return result, jax.tree.map(lambda _: True, result)

    @jax.custom_jvp  # a custom_vmap has no reverse mode of its own
    def differentiable(condition: jax.Array, operands: Any) -> Any:
        return choose(condition, operands)

    @differentiable.defjvp
    def derivative(primals: Any, tangents: Any) -> Any:
        (condition, operands), (_, moving) = primals, tangents
        _, tangent = jax.jvp(
            lambda *operands: jax.lax.cond(condition, this, that, *operands),
            operands,
            moving,
        )
        return choose(condition, operands), tangent

    chosen: T = differentiable(condition, operands)
    return chosen
