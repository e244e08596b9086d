"""Loss and gradient over data that is larger than memory, from a stream of batches."""

from __future__ import annotations  # so that a signature is short

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop import _checks
from optax_rprop._fit import _checks as _fit_checks
from optax_rprop._kept import is_constant, kept_with

_NAME = "streaming_value_and_grad"


def streaming_value_and_grad(
    loss_fn: Callable[..., jax.Array],
) -> Callable[[optax.Params, Iterable[Any]], tuple[jax.Array, optax.Updates]]:
    r"""Loss and gradient over data that is larger than memory.

    It is like ``jax.value_and_grad``, but the data comes as an iterable of batches in
    host memory: from disk, from a loader or from a generator. With batches of
    :math:`n_i` entries and their losses :math:`f_i`,

    .. math::

        f = \frac{\sum_i n_i f_i}{\sum_i n_i}, \qquad
        \nabla f = \frac{\sum_i n_i \nabla f_i}{\sum_i n_i}.

    That is the loss of the whole data if ``loss_fn`` is a mean over the leading axis
    (terms without data in them are fine), however uneven the batches are. Take one Rprop
    step after each pass over the data. The loss is the ``value`` that ``"irprop+"``
    needs. If the data fits into memory, ``fit`` with ``microbatch_size`` is faster.

    A batch moves to the device while the previous one is processed; at most two are there
    at a time. Batches of one shape share a compiled program. Like ``jax.jit``, the
    returned function does not see that an attribute or a global behind ``loss_fn`` has
    changed.

    Args:
        loss_fn: ``loss_fn(params, *batch)``, a real scalar.

    Returns:
        A function ``evaluate(params, batches)``. ``batches`` is an iterable of tuples or
        lists of arrays with the same leading size; any other batch is a single argument.
        The function returns the loss, a scalar, and the gradients, with the shapes and
        dtypes of ``params``. The sums are float32, or wider if these are wider. Gradients
        of complex parameters are conjugated, as ``jax.grad`` returns them.

    Raises:
        ValueError: From ``evaluate``: ``batches`` is empty (as a generator is after one
            pass), its arrays have unequal leading sizes, or the loss is not a scalar.
        TypeError: ``loss_fn`` is not a function. From ``evaluate``: the loss is not a
            real number, or a parameter is neither floating-point nor complex.

    Example:
        The mean of a squared distance, over batches of 3 and 1:

        >>> import numpy as np
        >>> from optax_rprop import streaming_value_and_grad
        >>> evaluate = streaming_value_and_grad(lambda w, x: ((w - x) ** 2).mean())
        >>> batches = [np.float32([1, 2, 3]), np.float32([6])]
        >>> value, gradient = evaluate(np.float32(0), batches)
        >>> float(value), float(gradient)
        (12.5, -6.0)
    """
    return evaluator(_NAME, loss_fn)


def evaluator(
    name: str, loss_fn: Callable[..., jax.Array]
) -> Callable[[optax.Params, Iterable[Any]], tuple[jax.Array, optax.Updates]]:
    """What ``streaming_value_and_grad`` returns; error messages begin with ``name``."""
    _fit_checks.function(name, loss_fn)
    owners, make = (loss_fn,), functools.partial(_Programs, name)
    programs = (
        kept_with(owners, name, make) if is_constant(loss_fn) else make(lambda: owners)
    )

    def evaluate(
        params: optax.Params, batches: Iterable[Any]
    ) -> tuple[jax.Array, optax.Updates]:
        _checks.parameters(name, params)
        _fit_checks.data(name, params=params)
        if isinstance(batches, dict) or not isinstance(batches, Iterable):
            raise TypeError(
                f"{name}: batches must be an iterable of batches, got "
                f"{type(batches).__name__}. Wrap a single batch in a list."
            )
        sums: Any = None
        in_flight: Any = None
        count = 0
        for batch in batches:
            batch = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
            _fit_checks.data(name, batch=batch)
            _fit_checks.batch(name, "batch", batch)
            count += jax.tree.leaves(batch)[0].shape[0]
            batch = jax.device_put(jax.tree.map(_host_copy, batch))
            if sums is None:
                loss = programs.loss.eval_shape(params, *batch)
                _fit_checks.loss_output(name, loss, "Only the loss can be streamed.")
                sums = _zero_sums(loss, params)
            if in_flight is not None:
                in_flight.block_until_ready()  # or batches would pile up on the device
            sums, in_flight = programs.add(sums, params, batch)
        if sums is None:
            raise ValueError(
                f"{name}: batches must yield at least one batch, got none. A generator "
                "is used up after one pass; make a new one for every epoch."
            )
        loss, grads = programs.mean(sums, float(count), params)
        return loss, grads

    # What is compiled does not hold the loss, so the function does.
    evaluate.__wrapped__ = loss_fn  # type: ignore[attr-defined]
    return evaluate


class _Programs:
    """What is compiled for a loss; ``owners`` returns it."""

    def __init__(self, name: str, owners: Callable[[], Any]) -> None:
        def loss(params: Any, *batch: Any) -> Any:
            with _fit_checks.errors_of_the_loss(name, params, batch):
                return owners()[0](params, *batch)

        def add(sums: Any, params: Any, batch: Any) -> tuple[Any, jax.Array]:
            """The sums with one more batch, and something to wait for."""
            size = jax.tree.leaves(batch)[0].shape[0]
            values = jax.value_and_grad(loss)(params, *batch)
            sums = jax.tree.map(lambda s, x: s + size * x.astype(s.dtype), sums, values)
            return sums, values[0]

        self.loss: Any = jax.jit(loss)
        self.add = jax.jit(add, donate_argnums=0)
        self.mean = jax.jit(_mean)


def _mean(sums: Any, count: Any, params: Any) -> Any:
    loss, grads = sums
    grads = jax.tree.map(
        lambda s, p: (s / count).astype(jnp.result_type(p)), grads, params
    )
    return loss / count, grads


def _host_copy(array: Any) -> Any:
    """A copy of a host array, since a loader may write into its buffer again."""
    # On a CPU, device_put may use the host array itself, even with may_alias=False.
    return array if isinstance(array, jax.Array) else np.array(array)


def _zero_sums(loss: Any, params: Any) -> Any:
    """Zeros for the sums of the loss and of the gradients, where the parameters are."""

    def zeros(x: Any) -> jax.Array:
        return jnp.zeros_like(x, dtype=np.promote_types(jnp.result_type(x), "float32"))

    return zeros(loss), jax.tree.map(zeros, params)
