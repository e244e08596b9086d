"""Any transformation in a basis that turns with the gradients: the state and the wrapper.

The rule of the wrapped transformation is unchanged: only the coordinates are others.
"""

from __future__ import annotations  # so that a signature is short

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop import _checks as shared_checks
from optax_rprop._cond import cond
from optax_rprop._leaf import (
    coordinates_like,
    finfo,
    merged,
    real_where,
    scalar_like,
    split,
    step_size_dtype,
    wide_dtype,
    widened,
)
from optax_rprop._transform import _checks, _settings_checks
from optax_rprop._transform._arrays import DEFAULT
from optax_rprop._transform._bases import Basis, observe, refresh, turn, turn_back
from optax_rprop._transform._blocks import (
    Block,
    bases_of,
    blocks_of,
    gather,
    new_bases,
    scatter,
)
from optax_rprop._transform._bounds import BoxState
from optax_rprop._transform._lift import real_number
from optax_rprop._transform._state import nodes
from optax_rprop._transform._undo import is_undone
from optax_rprop._transform._units import UnitsState

# The bases change most at first, so there they are refreshed more often.
EARLY_UPDATES = 30
EARLY_REFRESH = 3


class EigenbasisState(NamedTuple):
    """All that :func:`in_eigenbasis` remembers between two updates.

    For a float32 matrix of ``m x n`` it takes 4 bytes per parameter and
    ``8 (m**2 + n**2)`` bytes, beside the state of the wrapped transformation.

    Attributes:
        num_updates: How many gradients were looked at; int32. Those of rejected steps
            don't count.
        bases: First the basis of the joint vector of small leaves, or None. Then, for
            every leaf in order, a tuple with a basis or None for each of its axes; it is
            empty for a leaf in the joint vector, and None for one that stays as it is. A
            basis has ``directions``, an orthogonal matrix ``(k, k)`` with a direction in
            each column, and the ``moment``, ``(k, k)``, whose eigenvectors they follow.
            Both are float32, or float64 where the parameters are wider.
        prev_grads: A tree like the parameters: the last finite gradient, zero at first,
            in the dtype of the bases. In the place of a complex leaf there are two
            arrays, ``real`` and ``imag``. For a leaf that stays as it is, there are
            zeros.
        inner_state: The state of the wrapped transformation. Its arrays belong to the
            directions: entry ``i`` is that of direction ``i``.
    """

    num_updates: jax.Array
    bases: Any
    prev_grads: optax.Params
    inner_state: optax.OptState


def in_eigenbasis(
    inner: optax.GradientTransformation | None = None,
    *,
    refresh_every: jax.typing.ArrayLike = 10,
    decay: jax.typing.ArrayLike = 0.9,
    max_size: int = 256,
) -> optax.GradientTransformationExtraArgs:
    r"""``inner`` in a basis that turns with the gradients: Rprop in a narrow valley.

    Rprop adapts one step size per axis. So a narrow valley along the axes is no hardship,
    and one across them stops it. Here it runs, unchanged, along directions that follow
    the curvature: in a valley of 1 to 10,000, turned by 15 degrees, it then takes some 40
    steps instead of more than 20,000. ``in_eigenbasis(rprop())`` is meant; the wrapper
    takes any transformation, and with ``optax.adam`` it is close to SOAP.

    Every array of at least two axes has an orthogonal basis :math:`Q` for each of its
    axes. The scalars and vectors, smallest first, are together one vector of at most 64
    entries, with one basis; a vector that does not fit in has its own. With
    :math:`X_t = G_t - G_{t-1}` the change of a gradient, unfolded along the axis, and
    :math:`\lVert\cdot\rVert` the Frobenius norm,

    .. math::

        M &\leftarrow \beta M + (1 - \beta) \frac{X_t X_t'}{\lVert X_t \rVert} \\
        Q &\leftarrow \text{the } Q \text{ of }
            \operatorname{QR}\left(\tfrac{M}{\operatorname{tr} M} Q
            + 10^{-7} Q\right) \quad \text{at a refresh}

    where the columns get the signs that let each point the way of its predecessor. A
    gradient matrix then reaches ``inner`` as :math:`Q_0' G Q_1`, and the update
    :math:`U` that it returns reaches the parameters as :math:`Q_0 U Q_1'`. The state of
    ``inner`` is kept by index, so that a step size stays with its direction as it turns.

    What a rule undoes is taken back along the directions it had been moved in, so an undo
    is exact up to rounding, at a refresh too. A rejected step (a ``value`` that is not
    finite) changes no basis. A NaN in a gradient counts as 0 there, an infinity as a
    large number; neither gets into :math:`M`.

    For a float32 matrix of ``m x n`` the state takes 4 bytes per parameter and
    ``8 (m**2 + n**2)`` bytes beside that of ``inner``. An update multiplies six matrices,
    in ``6 m n (m + n)`` operations, and a refresh adds two QR factorisations. That pays
    where the loss takes longer than its update: with many rows of data, or a differential
    equation. Under ``jax.vmap`` a refresh is computed only for the lanes that are
    due, one lane after another.

    Args:
        inner: The transformation to run in the bases; ``rprop(min_step_size=1e-12)`` if
            None. It sees gradients, and parameters, in these coordinates, in float32 or
            wider. It gets every extra argument unchanged. What a line search needs is not
            turned, so put a line search outside.
        refresh_every: The number of updates from one refresh of the bases to the next; at
            least 1. In the first 30 updates, at most 3.
        decay: The weight :math:`\beta` of the past in :math:`M`; at least 0 and less
            than 1.
        max_size: The longest axis that is turned; longer ones stay as they are. A basis
            of 256 takes some 2 ms of a CPU per refresh, and the time grows with the
            third power.

    Returns:
        An ``optax.GradientTransformationExtraArgs`` whose state is an
        :class:`EigenbasisState`. Its updates have the shapes and dtypes of the gradients.

    Raises:
        ValueError: A number is out of its range. From ``update``: the gradients, the
            parameters or the state don't have the structure, the shapes and the dtypes
            that ``init`` saw, or the directions of the state are not orthogonal.
        TypeError: ``inner`` is not a transformation, or holds :func:`in_box` or
            :func:`in_units`, or a number is of a wrong kind. From ``init`` and
            ``update``: a leaf is neither floating-point nor complex.

    Example:
        A valley of 1 to 10,000 across the axes:

        >>> import jax.numpy as jnp
        >>> from optax_rprop import fit, in_eigenbasis, rprop
        >>> def loss(x):
        ...     along, across = x[0] + x[1], x[0] - x[1]
        ...     return along**2 + 1e4 * across**2
        >>> start = jnp.array([3.0, 1.0])
        >>> fit(loss, start, target_loss=1e-6).status.name
        'MAX_STEPS'
        >>> turned = in_eigenbasis(rprop())
        >>> result = fit(loss, start, optimizer=turned, target_loss=1e-6)
        >>> result.status.name, result.num_steps < 60
        ('TARGET_REACHED', True)

    References:
        Igel, Toussaint and Weishui (2005), "Rprop using the natural gradient", for Rprop
        in another metric. Gupta, Koren and Singer (2018), "Shampoo: preconditioned
        stochastic tensor optimization", for a matrix per axis. Vyas et al. (2024), "SOAP:
        improving and stabilizing Shampoo using Adam", for an unchanged rule in such a
        basis and its refresh by one QR step. Changes of gradients instead of gradients,
        and their weights, are this package's own.
    """
    refresh_every, decay = map(real_number, (refresh_every, decay))
    inner = DEFAULT if inner is None else inner
    _settings_checks.inner("in_eigenbasis", inner)
    _settings_checks.turning("in_eigenbasis", refresh_every, decay, max_size)
    wrapped = optax.with_extra_args_support(inner)

    def init(params: optax.Params) -> EigenbasisState:
        shared_checks.parameters("in_eigenbasis.init", params)
        leaves = jax.tree.leaves(params)
        structure: Any = jax.tree.structure(params)
        bases = new_bases(leaves, max_size)
        turned = {i for block in blocks_of(bases) for i in block.leaves}
        inner_state = wrapped.init(
            structure.unflatten(
                widened(leaf) if i in turned else leaf for i, leaf in enumerate(leaves)
            )
        )
        _checks.without_box("in_eigenbasis", nodes(inner_state, BoxState))
        _checks.without_units(nodes(inner_state, UnitsState))
        return EigenbasisState(
            num_updates=scalar_like(params, 0, jnp.int32),
            # Without parameters a single leaf: optax.tree_map_params calls init so, and
            # takes the leaf for whatever is in its place.
            bases=bases if leaves else jnp.zeros((), jnp.float32),
            # For what stays as it is, too: Orbax can't save arrays without entries.
            prev_grads=coordinates_like(params, 0, step_size_dtype),
            inner_state=inner_state,
        )

    def update(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, Any]:
        caller = "in_eigenbasis.update"
        value = extra_args.get("value")
        _checks.state(caller, state, EigenbasisState)
        _checks.loss(caller, "", False, value)
        _check(caller, updates, params, state, max_size)
        old = blocks_of(_bases(state))

        # The gradient at a loss that is not finite is not looked at.
        accepted = jnp.array(True) if value is None else jnp.isfinite(value)
        observed, prev_grads = _observe(old, updates, state, accepted, decay)
        is_due = accepted & _is_due(state.num_updates, refresh_every)
        new = _refresh(observed, is_due)

        moves, inner_state = wrapped.update(
            _turn(new, updates),
            state.inner_state,
            None if params is None else _turn(new, params),
            **extra_args,
        )
        moves = real_where(moves, updates)
        moves = _turn_back(old, new, is_due, moves, inner_state, like=updates)
        return moves, EigenbasisState(
            num_updates=state.num_updates + accepted.astype(jnp.int32),
            bases=bases_of(new, state.bases) if new else state.bases,
            prev_grads=prev_grads,
            inner_state=inner_state,
        )

    return optax.GradientTransformationExtraArgs(init, update)


def turned_gradients(state: EigenbasisState, grads: Any) -> Any:
    """The gradients as the wrapped transformation saw them when it made ``state``."""
    return _turn(blocks_of(_bases(state)), grads)


def _bases(state: EigenbasisState) -> Any:
    """The bases; none where there are no parameters."""
    return state.bases if jax.tree.leaves(state.prev_grads) else ()


def _check(caller: str, grads: Any, params: Any, state: Any, max_size: int) -> None:
    """Raise unless gradients, parameters and state are for the same tree."""
    _checks.gradients(caller, grads, params, state.prev_grads)
    if params is None:
        params = jax.tree.map(_like_both, grads, state.prev_grads)
    else:
        hint = "They are turned like the gradients; params=None will do for Rprop."
        _checks.parameters_like(caller, grads, params, hint)
    leaves = jax.tree.leaves(params)
    bases = jax.eval_shape(lambda: new_bases(leaves, max_size)) if leaves else ()
    expected = jax.tree.map(
        lambda p: _checks.shapes(p, step_size_dtype(jnp.result_type(p))), params
    )
    _checks.turned(caller, state, _bases(state), bases, expected)


def _is_due(num_updates: jax.Array, refresh_every: jax.typing.ArrayLike) -> jax.Array:
    late = jnp.asarray(refresh_every, jnp.int32)
    early = jnp.minimum(late, EARLY_REFRESH)
    interval = jnp.where(num_updates < EARLY_UPDATES, early, late)
    due: jax.Array = (num_updates > 0) & (num_updates % interval == 0)
    return due


def _observe(
    blocks: Sequence[Block],
    grads: Any,
    state: EigenbasisState,
    accepted: jax.Array,
    decay: jax.typing.ArrayLike,
) -> tuple[list[Block], Any]:
    """The blocks with the change of the gradient in their moments; what to remember."""
    prev = jax.tree.leaves(merged(state.prev_grads))
    structure: Any = jax.tree.structure(grads)
    arrays = gather(blocks, jax.tree.leaves(grads)), gather(blocks, prev)
    is_change = accepted & (state.num_updates > 0)
    observed, remembered = [], []
    for block, grad, last in zip(blocks, *arrays, strict=True):
        grad = jax.lax.stop_gradient(grad)  # a derivative holds the bases fixed
        bases, finite = observe(block.bases, grad - last, is_change, decay)
        observed.append(block._replace(bases=bases))
        remembered.append(jnp.where(accepted & finite, grad, last))
    prev = scatter(blocks, remembered, prev, [p.dtype for p in prev])
    return observed, split(structure.unflatten(prev))


def _refresh(blocks: Sequence[Block], is_due: jax.Array) -> list[Block]:
    directions = iter(
        cond(
            is_due,
            lambda bases: [refresh(basis) for basis in bases],
            lambda bases: [basis.directions for basis in bases],
            [basis for block in blocks for basis in block.bases if basis is not None],
        )
    )

    def refreshed(basis: Basis | None) -> Basis | None:
        return None if basis is None else basis._replace(directions=next(directions))

    return [block._replace(bases=list(map(refreshed, block.bases))) for block in blocks]


def _turn(blocks: Sequence[Block], tree: Any) -> Any:
    """The tree in the bases, in single precision at least where it is turned."""

    def turned(block: Block, array: jax.Array) -> jax.Array:
        # One entry that is not finite would spread to all. NaN moves nothing, and an
        # infinity has a sign, as in Rprop.
        largest = float(finfo(array.dtype).max) / array.size
        array = jnp.nan_to_num(array, nan=0.0, posinf=largest, neginf=-largest)
        return turn(block.bases, array)

    leaves = jax.tree.leaves(tree)
    structure: Any = jax.tree.structure(tree)
    arrays = list(map(turned, blocks, gather(blocks, leaves)))
    dtypes = list(map(wide_dtype, leaves))
    return structure.unflatten(scatter(blocks, arrays, leaves, dtypes))


def _turn_back(
    old: Sequence[Block],
    new: Sequence[Block],
    is_due: jax.Array,
    moves: Any,
    inner_state: Any,
    like: Any,
) -> Any:
    """The moves along the axes of the parameters, in the dtypes of ``like``.

    A move that is undone was made in the bases before a refresh, and goes back in them.
    """

    def at_a_refresh(old: Any, new: Any, moves: Any, undos: Any) -> list[jax.Array]:
        return [
            turn_back(bases, move - undo) + turn_back(old_bases, undo)
            for old_bases, bases, move, undo in zip(old, new, moves, undos, strict=True)
        ]

    def else_(old: Any, new: Any, moves: Any, undos: Any) -> list[jax.Array]:
        del old, undos
        return list(map(turn_back, new, moves))

    leaves = jax.tree.leaves(moves)
    structure: Any = jax.tree.structure(moves)
    undos = _undone(moves, inner_state)
    bases = ([block.bases for block in blocks] for blocks in (old, new))
    arrays = (gather(new, arrays) for arrays in (leaves, undos))
    moved = cond(is_due, at_a_refresh, else_, *bases, *arrays)
    dtypes = [jnp.result_type(leaf) for leaf in jax.tree.leaves(like)]
    return structure.unflatten(scatter(new, moved, leaves, dtypes))


def _undone(moves: Any, state: Any) -> list[jax.Array]:
    """What is taken back of earlier steps, leaf by leaf."""
    parts = split(jax.tree.map(jnp.asarray, moves))
    structure: Any = jax.tree.structure(parts)
    kept = (
        jnp.where(undone, part, jnp.zeros_like(part))
        for part, undone in zip(
            jax.tree.leaves(parts), is_undone(moves, state), strict=True
        )
    )
    leaves: list[jax.Array] = jax.tree.leaves(merged(structure.unflatten(kept)))
    return leaves


_shape: Any = jax.ShapeDtypeStruct


def _like_both(grad: Any, prev: Any) -> Any:
    """A parameter of these; it may be of higher precision than its gradient."""
    dtype = jnp.result_type(grad)
    wide = shared_checks.dtype_of(jax.tree.leaves(prev)[0]) == np.float64
    return _shape(np.shape(grad), np.promote_types(dtype, np.float64) if wide else dtype)
