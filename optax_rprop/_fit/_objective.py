"""The loss over all of the data and its gradient: whole, or in microbatches."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop._derivatives import refuse_derivative
from optax_rprop._fit import _checks


class Evaluation(NamedTuple):
    """What a step starts from: the loss at its parameters, the aux and the gradients.

    Gradients of complex parameters point uphill too; JAX returns their conjugates.
    """

    loss: jax.Array
    aux: Any
    grads: optax.Updates


class Objective(NamedTuple):
    """A loss, and how it is evaluated."""

    loss_fn: Callable[..., Any]
    has_aux: bool
    microbatch_size: int | None

    def loss_and_aux(self, params: optax.Params, *args: Any) -> tuple[jax.Array, Any]:
        """The loss and the aux; the aux is None without one."""
        if self.microbatch_size is not None:
            mean: tuple[jax.Array, Any] = _mean_of_slices(
                lambda *slices: self._call(params, *slices), self.microbatch_size, args
            )
            return mean
        return self._call(params, *args)

    def evaluate(self, params: optax.Params, args: tuple[Any, ...]) -> Evaluation:
        """The loss, the aux and the gradients."""
        value_and_grad = jax.value_and_grad(self._call, has_aux=True)
        if self.microbatch_size is None:
            (loss, aux), grads = value_and_grad(params, *args)
        else:
            # The derivative is taken slice by slice, so that the intermediate values of
            # only one slice exist at a time.
            (loss, aux), grads = _mean_of_slices(
                lambda *slices: value_and_grad(params, *slices),
                self.microbatch_size,
                args,
            )
        evaluation: Evaluation = refuse_derivative(
            Evaluation(loss, aux, jax.tree.map(jnp.conj, grads)), _checks.NO_DERIVATIVE
        )
        return evaluation

    def _call(self, params: optax.Params, *args: Any) -> tuple[jax.Array, Any]:
        with _checks.errors_of_the_loss("fit", params, args):
            output = self.loss_fn(params, *args)
        return _checks.loss_and_aux(output, self.has_aux)


def _mean_of_slices(function: Callable[..., Any], size: int, args: Any) -> Any:
    """The mean of ``function`` over slices of the leading axis, weighted by their sizes.

    The last slice is smaller where ``size`` does not divide the axis. Sums are float32,
    or wider where the values are.
    """
    length = jax.tree.leaves(args)[0].shape[0]
    size = min(size, length)
    whole_slices, rest = divmod(length, size)

    def slices(start: Any, size: int) -> Any:
        # Each is cut from the arrays in place: the data is never copied as a whole.
        return jax.tree.map(
            lambda x: jax.lax.dynamic_slice_in_dim(x, start, size, axis=0), args
        )

    def widen(x: Any) -> Any:
        return x.astype(np.promote_types(x.dtype, np.float32))

    def add(i: Any, total: Any) -> Any:
        values = function(*slices(i * size, size))
        return jax.tree.map(lambda t, x: t + widen(x), total, values)

    shapes = jax.eval_shape(function, *slices(0, size))
    zeros = jax.tree.map(lambda x: widen(jnp.zeros(x.shape, x.dtype)), shapes)
    total = jax.lax.fori_loop(0, whole_slices, add, zeros)
    if not rest:
        mean = jax.tree.map(lambda t: t / whole_slices, total)
    else:
        last = function(*slices(length - rest, rest))
        mean = jax.tree.map(
            lambda t, r: t * (size / length) + widen(r) * (rest / length), total, last
        )
    return jax.tree.map(lambda m, x: m.astype(x.dtype), mean, shapes)
