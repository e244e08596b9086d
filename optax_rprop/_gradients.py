"""Full-batch value and gradient, whole or in microbatches."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

ValueAndGrad = Callable[..., tuple[tuple[jax.Array, Any], Any]]


def loss_and_aux(loss_fn: Callable[..., Any], has_aux: bool) -> Callable[..., Any]:
    """``loss_fn`` as a function that returns a pair; the aux is None without one."""
    return loss_fn if has_aux else lambda *args: (loss_fn(*args), None)


def full_batch(loss_fn: Callable[..., Any], microbatch_size: int | None) -> Any:
    """``loss_fn(params, *args)``, a mean over the leading axis, in slices of that axis.

    The slices are of ``microbatch_size``, the last one smaller where that does not divide
    the axis; each counts by its size, so that the result is the loss of the whole. Its
    derivative is taken slice by slice too: one slice's intermediate values at a time.
    """
    if microbatch_size is None:
        return loss_fn
    return lambda params, *args: _mean_of_slices(
        lambda *slices: loss_fn(params, *slices), microbatch_size, args
    )


def value_and_grad(
    loss_fn: Callable[..., Any], microbatch_size: int | None
) -> ValueAndGrad:
    """``((loss, aux), grads)`` of ``loss_fn(params, *args)``, which returns loss and aux.

    The gradients point up also where parameters are complex: JAX's are conjugated.
    """
    whole = jax.value_and_grad(loss_fn, has_aux=True)

    def evaluate(params: Any, *args: Any) -> tuple[tuple[jax.Array, Any], Any]:
        value_and_aux, grads = (
            whole(params, *args)
            if microbatch_size is None
            else _mean_of_slices(
                lambda *slices: whole(params, *slices), microbatch_size, args
            )
        )
        return value_and_aux, jax.tree.map(jnp.conj, grads)

    return evaluate


def _mean_of_slices(function: Callable[..., Any], size: int, args: Any) -> Any:
    """The mean of ``function`` over slices of the leading axis, by their sizes."""
    length = jax.tree.leaves(args)[0].shape[0]
    size = min(size, length)
    whole_slices, rest = divmod(length, size)

    def slices(start: Any, size: int) -> Any:
        # A slice at a time, out of the arrays as they lie: no second copy of the data.
        return jax.tree.map(
            lambda x: jax.lax.dynamic_slice_in_dim(x, start, size, axis=0), args
        )

    def add(i: Any, total: Any) -> Any:
        return jax.tree.map(jnp.add, total, function(*slices(i * size, size)))

    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype),
        jax.eval_shape(function, *slices(0, size)),
    )
    total = jax.lax.fori_loop(0, whole_slices, add, zeros)
    if not rest:
        return jax.tree.map(lambda t: t / whole_slices, total)
    last = function(*slices(length - rest, rest))
    return jax.tree.map(
        lambda t, r: t * (size / length) + r * (rest / length), total, last
    )
