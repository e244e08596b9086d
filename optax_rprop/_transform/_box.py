"""``in_box``: any transformation, with bounds for the parameters."""

from __future__ import annotations  # so that a signature is short

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop import _checks as shared_checks
from optax_rprop._leaf import (
    as_dtype,
    coordinates_like,
    is_abstract,
    merged,
    real_where,
    split,
    step_size_dtype,
)
from optax_rprop._transform import _box_checks, _checks, _settings_checks
from optax_rprop._transform._bounds import (
    Bounds,
    BoxState,
    bounds_of,
    cut,
    side_held,
    side_outside,
)
from optax_rprop._transform._eigenbasis import EigenbasisState
from optax_rprop._transform._state import nodes, rprop_states
from optax_rprop._transform._undo import is_undone

Bound = jax.typing.ArrayLike | optax.Params | None


def in_box(
    inner: optax.GradientTransformation, lower: Bound, upper: Bound
) -> optax.GradientTransformationExtraArgs:
    r"""``inner`` with bounds for the parameters: Rprop in a box.

    Let :math:`l \le x \le u` be the bounds ``lower`` and ``upper``, :math:`g` the
    gradient and :math:`m` the move of ``inner``. Then

    .. math::

        g' &= \begin{cases}
            0 & x \le l \text{ and } g > 0 \\
            0 & x \ge u \text{ and } g < 0 \\
            g & \text{else}
        \end{cases} \\
        m' &= \min(\max(x + m(g'), l), u) - x

    So a coordinate at a bound stays if its gradient points outwards, and Rprop forgets
    its sign. A move that would leave the box ends at the bound, and not one bit beyond. A
    move that stays inside does not change. A rule undoes the move that was really made.
    ``fit`` counts a held coordinate as arrived, and its gradient as zero.

    Around :func:`in_eigenbasis` it holds coordinates in the same way, and cuts the sum of
    the moves along all directions. It takes back a rejected step (a ``value`` that is not
    finite) as a whole. An undo of ``"rprop+"`` and ``"irprop+"`` goes back along single
    directions, by their whole step, and is cut like any other move. Inside
    :func:`in_eigenbasis`, bounds would belong to turned axes, so that is an error.

    Another way is to fit a parameter that has no bounds, such as a logarithm. Use it when
    the bound itself is not a sensible answer, as with a variance of zero.

    Args:
        inner: The transformation, typically ``rprop()``. It gets every extra argument
            unchanged.
        lower: The lower bound: a number for all parameters, or a tree like them, of
            numbers or arrays of their shapes, in their units. One number in place of a
            subtree holds for all of the subtree. None and -inf stand for no bound. A
            bound is rounded to the dtype of its parameter.
        upper: The upper bound, in the same form. If both are equal, the parameter stays.

    Returns:
        An ``optax.GradientTransformationExtraArgs`` whose state is a :class:`BoxState`.
        Its ``update`` needs ``params``. Updates have the shapes and dtypes of those of
        ``inner``.

    Raises:
        ValueError: A bound is NaN. From ``init``: a bound has another shape or structure
            than the parameters, a lower one exceeds an upper one, or the start lies
            outside. (If the start is traced, as under ``jax.jit``, the first update moves
            it to the bound. :func:`fit` raises an error, and inside ``jit`` and ``vmap``
            it ends with ``NONFINITE``.) From ``update``: the gradients, the parameters or
            the state don't have the structure and the shapes that ``init`` saw.
        TypeError: ``inner`` is not a transformation, or a bound is not a number. From
            ``init``: a leaf with bounds is complex, or a leaf is neither floating-point
            nor complex. From ``update``: ``params`` is missing.

    Example:
        The minimum of ``(x - 3)**2`` for ``x`` between 0 and 2 is at 2:

        >>> import jax.numpy as jnp
        >>> from optax_rprop import fit, in_box, rprop
        >>> optimizer = in_box(rprop(), lower=0, upper=2)
        >>> result = fit(lambda x: (x - 3) ** 2, jnp.array(0.5), optimizer=optimizer)
        >>> result.status.name, float(result.params)
        ('STATIONARY', 2.0)

    References:
        Bertsekas (1982), "Projected Newton methods for optimization problems with simple
        constraints", for holding what points outwards and projecting the rest.
    """
    _settings_checks.inner("in_box", inner)
    _box_checks.bounds("in_box", lower, upper)
    wrapped = optax.with_extra_args_support(inner)

    def init(params: optax.Params) -> BoxState:
        caller = "in_box.init"
        shared_checks.parameters(caller, params)
        bounds = bounds_of(caller, params, lower, upper)
        outside = coordinates_like(params, 0, lambda _: np.int8)
        if not is_abstract(params):
            structure: Any = jax.tree.structure(outside)
            outside = structure.unflatten(map(side_outside, _parts(params), bounds))
        _box_checks.inside(caller, params, outside)
        return BoxState(
            held=outside,
            last_moves=coordinates_like(params, 0, step_size_dtype),
            inner_state=wrapped.init(params),
        )

    def update(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, Any]:
        caller = "in_box.update"
        value = extra_args.get("value")
        _checks.state(caller, state, BoxState)
        _checks.loss(caller, "", False, value)
        _box_checks.parameters_given(caller, params)
        _checks.gradients(caller, updates, params, state.last_moves)
        _checks.parameters_like(caller, updates, params, "They are what is bounded.")
        sizes, signs = {"last_moves": state.last_moves}, {"held": state.held}
        _checks.coordinates(caller, updates, params, sizes, signs)
        bounds = bounds_of(caller, params, lower, upper)
        structure: Any = jax.tree.structure(state.last_moves)
        starts = _parts(params)

        # The gradient at a loss that is not finite is not looked at.
        rejected = jnp.array(False) if value is None else ~jnp.isfinite(value)
        sides = list(map(side_held, starts, _parts(updates), bounds))
        sides = [jnp.where(rejected, jnp.zeros_like(side), side) for side in sides]
        held = structure.unflatten(sides)

        moves, inner_state = wrapped.update(
            _filled(held, updates, 0.0), state.inner_state, params, **extra_args
        )
        moves = real_where(moves, updates)
        undone = is_undone(moves, inner_state)
        if nodes(inner_state, EigenbasisState):  # signs belong to directions
            back = rejected if rprop_states(inner_state) else jnp.array(False)
            undone = [jnp.broadcast_to(back, side.shape) for side in sides]
        leaves = _parts(moves), jax.tree.leaves(state.last_moves), undone
        moved = map(_move, starts, *leaves, sides, bounds)
        moves, last_moves = map(structure.unflatten, zip(*moved, strict=True))
        return merged(moves), BoxState(held, last_moves, inner_state)

    return optax.GradientTransformationExtraArgs(init, update)


def free_gradients(opt_state: Any, grads: Any) -> Any:
    """The gradients, 0 for coordinates that a box in ``opt_state`` holds."""
    for state in nodes(opt_state, BoxState):
        grads = _filled(state.held, grads, 0.0)
    return grads


def check_start(caller: str, opt_state: Any, params: Any) -> None:
    """Raise if the parameters of a new state lie outside a box in it."""
    for state in nodes(opt_state, BoxState):
        _box_checks.inside(caller, params, state.held)


def nan_where_outside(opt_state: Any, params: Any) -> Any:
    """The parameters that a new state was made for, NaN where outside a box in it.

    For traced ones, of which it can't be checked: nothing is found from such a start.
    """
    for state in nodes(opt_state, BoxState):
        params = _filled(state.held, params, np.nan)
    return params


def _filled(held: Any, tree: Any, value: float) -> Any:
    """The tree with ``value`` where ``held`` is not 0.

    ``held`` may lack leaves that a mask left out.
    """
    sides = dict(jax.tree.leaves_with_path(held))

    def fill(path: Any, leaf: Any) -> Any:
        side = sides.get(path)
        if side is None or side.shape != np.shape(leaf):
            return leaf
        return jnp.where(side == 0, leaf, jnp.asarray(value, jnp.result_type(leaf)))

    return merged(jax.tree.map_with_path(fill, split(tree)))


def _parts(tree: Any) -> list[jax.Array]:
    """The arrays of the coordinates of a tree."""
    return jax.tree.leaves(split(jax.tree.map(jnp.asarray, tree)))


def _move(
    param: jax.Array,
    move: jax.Array,
    last_move: jax.Array,
    undone: jax.Array,
    side: jax.Array,
    bounds: Bounds,
) -> tuple[jax.Array, jax.Array]:
    """The move of a leaf inside its bounds, and what to remember of it."""
    dtype = move.dtype
    move = jnp.where(side == 0, move, 0)
    move = jnp.where(undone, -last_move.astype(move.dtype), move)
    move = cut(param, move, bounds)
    remembered = jnp.where(undone, 0, move).astype(last_move.dtype)
    return as_dtype(move, dtype), remembered
