"""``in_units``: any transformation, with each parameter measured in a unit of its own."""

from __future__ import annotations  # so that a signature is short

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop import _checks as shared_checks
from optax_rprop._leaf import (
    as_dtype,
    coordinates_like,
    finfo,
    is_abstract,
    merged,
    real_where,
    sizes_like,
    split,
    step_size_dtype,
    widened,
)
from optax_rprop._transform import _checks, _settings_checks
from optax_rprop._transform._arrays import DEFAULT
from optax_rprop._transform._bounds import BoxState
from optax_rprop._transform._lift import real_number
from optax_rprop._transform._state import nodes


class UnitsState(NamedTuple):
    """All that :func:`in_units` remembers between two updates.

    It takes 4 bytes per float32 parameter, plus the state of the wrapped transformation.

    Attributes:
        units: A tree like the parameters: the unit of each; float32, or the dtype of the
            parameter where that is wider. A complex leaf has two arrays of its shape,
            ``real`` and ``imag``.
        inner_state: The state of the wrapped transformation. Its step sizes are in these
            units.
    """

    units: optax.Params
    inner_state: optax.OptState


def in_units(
    inner: optax.GradientTransformation | None = None, units: optax.Params | None = None
) -> optax.GradientTransformationExtraArgs:
    r"""``inner`` for parameters that are measured in their own units.

    Let :math:`u` be the units, :math:`x` the parameters and :math:`g` their gradient.
    Then ``inner`` sees :math:`x / u` and its gradient :math:`u g`. A move :math:`m` that
    it returns becomes :math:`u m`.

    By default the unit of a parameter is its size at the start, or 1 if that is 0 or
    below the rounding of 1 (1.2e-7 in float32, 2.2e-16 in float64). So a first step of
    0.1 is a tenth of each parameter. The bounds of step sizes are in these units too. Use
    it when parameters have physical units and differ by orders of magnitude, above all
    around :func:`in_eigenbasis`: directions that mix such parameters depend on the choice
    of units. Leave it out for the weights of a network. They start at random, so their
    sizes say nothing.

    No step is longer than ``max_step_size`` units, 50 by default. So a parameter that
    starts near 0 but has far to go takes long. Start it at 0, or give ``units``. A fit
    that resumes keeps the units of its state.

    Args:
        inner: The transformation, typically ``in_eigenbasis()``;
            ``rprop(min_step_size=1e-12)`` if None. It sees gradients and parameters in
            float32 or wider, and all of its extra arguments: ``grad`` and ``value_fn``,
            which line searches need, in the units, and the others unchanged. For bounds,
            put :func:`in_box` around ``in_units``.
        units: A typical size of each parameter, positive: a tree like the parameters, of
            numbers or arrays of their shapes, or one number for all. None takes the sizes
            at the start.

    Returns:
        An ``optax.GradientTransformationExtraArgs`` whose state is a
        :class:`UnitsState`. Its updates have the shapes and dtypes of the gradients.

    Raises:
        ValueError: A unit is not positive and finite. From ``init``: ``units`` lacks a
            parameter, or an entry has another shape. From ``update``: the gradients, the
            parameters or the state don't have the structure and the shapes that ``init``
            saw.
        TypeError: ``inner`` is not a transformation, or has bounds, or a unit is not a
            number. From ``init`` and ``update``: a leaf is neither floating-point nor
            complex.

    Example:
        The first step of each parameter is a tenth of its size:

        >>> import jax.numpy as jnp
        >>> from optax_rprop import in_units, rprop
        >>> params = {"rate": jnp.array(0.0001), "height": jnp.array([500.0, 0.0])}
        >>> optimizer = in_units(rprop())
        >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
        >>> print(f"{updates['rate']:.5f} {updates['height']}")
        -0.00001 [-50.  -0.]
        >>> optimizer = in_units(rprop(), {"rate": 0.01, "height": 100.0})
        >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
        >>> print(f"{updates['rate']:.3f} {updates['height']}")
        -0.001 [-10.  -0.]

    References:
        Gill, Murray and Wright (1981), "Practical optimization", section 7.5, on scaling
        the variables by their typical values.
    """
    inner = DEFAULT if inner is None else inner
    _settings_checks.inner("in_units", inner)
    units = real_number(units)
    _settings_checks.units("in_units", units)
    wrapped = optax.with_extra_args_support(inner)

    def init(params: optax.Params) -> UnitsState:
        shared_checks.parameters("in_units.init", params)
        of_start = sizes_at_start(params) if units is None else _given(params, units)
        inner_state = wrapped.init(_measured(params, of_start))
        _checks.without_box("in_units", nodes(inner_state, BoxState))
        return UnitsState(of_start, inner_state)

    def update(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, Any]:
        caller = "in_units.update"
        _checks.state(caller, state, UnitsState)
        _checks.gradients(caller, updates, params, state.units)
        if params is not None:
            hint = "They are measured in units; params=None will do for Rprop."
            _checks.parameters_like(caller, updates, params, hint)
        _checks.coordinates(caller, updates, params, {"units": state.units}, {})
        like = updates if params is None else params
        moves, inner_state = wrapped.update(
            measured_gradients(state, updates),
            state.inner_state,
            None if params is None else _measured(params, state.units),
            **_measured_arguments(state, extra_args, like),
        )
        moves = _unmeasured(real_where(moves, updates), state.units, like=updates)
        return moves, UnitsState(state.units, inner_state)

    return optax.GradientTransformationExtraArgs(init, update)


def measured_gradients(state: UnitsState, grads: Any) -> Any:
    """The gradients with respect to the parameters in their units."""
    return merged(jax.tree.map(_times, _parts(grads), state.units))


def _measured_arguments(
    state: UnitsState, given: dict[str, Any], like: Any
) -> dict[str, Any]:
    """The extra arguments, with what a line search needs in the units.

    ``like`` is a tree with the dtypes of the parameters.
    """
    measured = dict(given)
    if given.get("grad") is not None:
        measured["grad"] = measured_gradients(state, given["grad"])
    if given.get("value_fn") is not None:
        measured["value_fn"] = lambda params, *args, **kwargs: given["value_fn"](
            _unmeasured(params, state.units, like), *args, **kwargs
        )
    return measured


def sizes_at_start(params: Any) -> Any:
    """The absolute value of every coordinate; 1 where that is 0, or no usable number."""

    def of_part(one: jax.Array, part: jax.Array) -> jax.Array:
        size = jnp.abs(part).astype(one.dtype)
        usable = (size >= finfo(one.dtype).eps) & jnp.isfinite(size)  # or it is rounding
        return jnp.where(usable, size, one)

    ones = coordinates_like(params, 1, step_size_dtype)
    return ones if is_abstract(params) else jax.tree.map(of_part, ones, _parts(params))


def _given(params: Any, units: Any) -> Any:
    unit_at = _settings_checks.units_by_path("in_units.init", params, units)

    return jax.tree.map_with_path(
        lambda path, param: sizes_like(param, unit_at[path], step_size_dtype), params
    )


def _measured(params: Any, units: Any) -> Any:
    if is_abstract(params):
        return jax.tree.map(widened, params)

    def of_part(part: jax.Array, unit: jax.Array) -> jax.Array:
        return part / unit.astype(part.dtype)

    return merged(jax.tree.map(of_part, _parts(params), units))


def _unmeasured(tree: Any, units: Any, like: Any) -> Any:
    """What is measured in the units, times them; in the dtypes of ``like``."""
    parts = jax.tree.map(_times, _parts(tree), units)
    dtypes = jax.tree.map(jnp.result_type, split(like))
    return merged(jax.tree.map(as_dtype, parts, dtypes))


def _parts(tree: Any) -> Any:
    """The coordinates of a tree, in single precision at least."""
    return split(jax.tree.map(lambda leaf: widened(jnp.asarray(leaf)), tree))


def _times(part: jax.Array, unit: jax.Array) -> jax.Array:
    dtype = np.promote_types(part.dtype, unit.dtype)  # a gradient may be the narrower one
    return part.astype(dtype) * unit.astype(dtype)
