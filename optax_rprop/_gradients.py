"""Full-batch value and gradient: whole, in microbatches, or from a stream of batches."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop import _checks, _fit_checks

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


def streaming_value_and_grad(
    loss_fn: Callable[..., jax.Array],
) -> Callable[[optax.Params, Iterable[Any]], tuple[jax.Array, optax.Updates]]:
    r"""Loss and gradient over all of the data, where the data is larger than memory.

    Like ``jax.value_and_grad``, but the data comes as an iterable of batches in the
    memory of the host: from disk, from a loader or from a generator. With batches of
    :math:`n_i` entries and their losses :math:`f_i`,

    .. math::

        f = \frac{\sum_i n_i f_i}{\sum_i n_i}, \qquad
        \nabla f = \frac{\sum_i n_i \nabla f_i}{\sum_i n_i}.

    That is the loss of the whole if ``loss_fn`` is a mean over the leading axis (terms
    without data in them are fine), however uneven the batches are. One Rprop step then
    belongs to one pass over the data, and ``value`` is the loss that ``"irprop+"`` asks
    for. Where the data fits into memory, ``fit`` with ``microbatch_size`` is faster.

    A batch is moved to the device while the one before is worked on; more than two are
    never there. Batches of one shape share what is compiled.

    Args:
        loss_fn: ``loss_fn(params, *batch)``, a real scalar; hashable, as functions are.

    Returns:
        A function ``evaluate(params, batches)``. ``batches`` is an iterable of tuples or
        lists of arrays with one leading size; any other batch is a single argument. It
        returns the loss, a scalar, and the gradients, shaped like ``params``, in their
        dtypes; the sums are float32, or wider where these are. Gradients of complex
        parameters are conjugated, as ``jax.grad`` returns them.

    Raises:
        ValueError: From ``evaluate``: ``batches`` is empty (a generator is, after one
            pass), its arrays have unequal leading sizes, or the loss is no scalar.
        TypeError: ``loss_fn`` is no function. From ``evaluate``: the loss is no real
            number, or a parameter is no floating-point or complex array.

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
    _fit_checks.function("streaming_value_and_grad", loss_fn)

    def evaluate(
        params: optax.Params, batches: Iterable[Any]
    ) -> tuple[jax.Array, optax.Updates]:
        caller = "streaming_value_and_grad"
        _checks.parameters(caller, params)
        total: Any = None
        working: Any = None
        count = 0
        for batch in batches:
            batch = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
            _fit_checks.batch(caller, "batch", batch)
            count += jax.tree.leaves(batch)[0].shape[0]
            batch = jax.device_put(jax.tree.map(_own, batch))
            if total is None:
                total = _no_total(loss_fn, params, batch)
            if working is not None:
                working.block_until_ready()  # else batches pile up on the device
            total, working = _add(loss_fn, total, params, batch)
        if total is None:
            _fit_checks.no_batches(caller)
        loss, grads = _mean(total, float(count), params)
        return loss, grads

    return evaluate


def _own(array: Any) -> Any:
    """A copy of a host array, as a loader may write into its buffer again."""
    # The CPU works on host arrays in place, device_put(may_alias=False) or not.
    return array if isinstance(array, jax.Array) else np.array(array)


def _no_total(loss_fn: Any, params: Any, batch: Any) -> Any:
    """Zeros for the sums of the loss and of the gradients, where the parameters are."""
    loss = jax.eval_shape(loss_fn, params, *batch)
    _fit_checks.loss_output("streaming_value_and_grad", loss)

    def zeros(x: Any) -> jax.Array:
        return jnp.zeros_like(x, dtype=np.promote_types(jnp.result_type(x), "float32"))

    return zeros(loss), jax.tree.map(zeros, params)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _add(loss_fn: Any, total: Any, params: Any, batch: Any) -> tuple[Any, jax.Array]:
    """The sums with a batch more, and something to wait for."""
    size = jax.tree.leaves(batch)[0].shape[0]
    loss, grads = jax.value_and_grad(loss_fn)(params, *batch)
    total = jax.tree.map(lambda t, x: t + size * x.astype(t.dtype), total, (loss, grads))
    return total, loss


@jax.jit
def _mean(total: Any, count: Any, params: Any) -> Any:
    loss, grads = total
    grads = jax.tree.map(
        lambda t, p: (t / count).astype(jnp.result_type(p)), grads, params
    )
    return loss / count, grads
