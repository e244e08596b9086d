"""Move a running ``torch.optim.Rprop`` to JAX and back, without importing torch."""

from __future__ import annotations  # so that a signature is short

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import SequenceKey, keystr

from optax_rprop._checks import conforms
from optax_rprop._interop import _checks
from optax_rprop._leaf import is_parts, merged, sign_of, split
from optax_rprop._transform._arrays import RpropState, rprop, scale_by_rprop
from optax_rprop._transform._bounds import BoxState
from optax_rprop._transform._eigenbasis import EigenbasisState
from optax_rprop._transform._state import nodes
from optax_rprop._transform._units import UnitsState


def from_torch_state_dict(
    state_dict: dict[str, Any], params: optax.Params
) -> optax.OptState:
    """The state of :func:`rprop` that continues where a ``torch.optim.Rprop`` stopped.

    For every parameter torch keeps a step size and the previous gradient, of which only
    the sign matters. Its rule is ``"irprop-"``. With the factors and bounds in torch's
    ``param_groups``, :func:`rprop` takes the same steps from here on, bit for bit, as
    long as no product of two gradients underflows in torch. (Torch keeps step sizes in
    the dtype of the parameters. With float16, its steps are rounded and those here are
    not.)

    Torch's parameters are matched to the leaves of ``params``

    * by name, if torch knows their names, as it does (from version 2.6 on) when the
      optimizer was made from ``module.named_parameters()``. The name of a leaf is its
      path, joined by dots: ``"layer.weight"`` is ``params["layer.weight"]``,
      ``params["layer"]["weight"]`` or ``params.layer.weight``, and ``"0.weight"`` is
      ``params[0]["weight"]``.
    * by position, if it does not, or if ``params`` consists of lists and tuples only.
      The order is that of ``jax.tree.leaves``, which sorts the keys of a dict. A list of
      arrays in the order of torch's parameters is always safe.

    Args:
        state_dict: ``torch.optim.Rprop.state_dict()``, with tensors on the CPU or NumPy
            arrays; bfloat16 as float32. A parameter that torch has not updated yet starts
            with the ``lr`` of its group.
        params: The parameters, with the shapes and dtypes that they have in torch.

    Returns:
        The state of ``rprop(...)``. Its first entry is an :class:`RpropState`, the state
        of ``scale_by_rprop(...)``.

    Raises:
        TypeError: ``state_dict`` is not that of a ``torch.optim.Rprop``, or holds
            something that NumPy can't read.
        ValueError: The number of leaves, a name, a shape or a dtype does not match; a
            setting or a step size is out of range; torch maximises; or the groups have
            different factors or bounds.

    Example:
        >>> import numpy as np, optax_rprop
        >>> entry = {"step": 7.0, "prev": np.float32([3, -2]),
        ...          "step_size": np.float32([0.5, 0.25])}
        >>> group = {"params": [0], "param_names": ["layer.weight"], "lr": 0.1,
        ...          "etas": (0.5, 1.2), "step_sizes": (1e-6, 50)}
        >>> params = {"layer": {"weight": np.zeros(2, "float32")}}
        >>> state = optax_rprop.from_torch_state_dict(
        ...     {"state": {0: entry}, "param_groups": [group]}, params)
        >>> tx = optax_rprop.rprop()
        >>> grads = {"layer": {"weight": np.float32([1, 1])}}
        >>> updates, state = tx.update(grads, state)
        >>> print(updates["layer"]["weight"])  # 1.2 times as far; a sign change
        [-0.6 -0. ]

    References:
        ``torch/optim/rprop.py`` of PyTorch 2.13 for the meaning of the entries.
    """
    caller = "from_torch_state_dict"
    _checks.state_dict(caller, state_dict)
    indices: list[Any] = []
    names: list[str] = []
    settings: list[tuple[float, float, float]] = []
    for group in state_dict["param_groups"]:
        bounds = group["step_sizes"]
        rate = _checks.first_step_size(caller, group["lr"], *group["etas"], *bounds)
        indices += group["params"]
        names += group.get("param_names") or []
        settings += [(rate, *bounds)] * len(group["params"])
    _checks.once(caller, indices, state_dict["state"])
    order = _in_torch_order(caller, params, names or None, len(indices))

    initial: Any = rprop().init(params)
    fresh, *others = initial
    step_sizes, prev_signs = (jax.tree.leaves(t, is_leaf=is_parts) for t in fresh[:2])
    structure: Any = jax.tree.structure(params)
    leaves = jax.tree.leaves_with_path(params)
    for leaf, index, (rate, low, high) in zip(order, indices, settings, strict=True):
        path, param = leaves[leaf]
        like = step_sizes[leaf]
        entry = state_dict["state"].get(index)
        if entry is None:
            step_sizes[leaf] = jax.tree.map(lambda x, r=rate: jnp.full_like(x, r), like)
            continue
        prev = _checks.array(caller, index, "prev", entry["prev"])
        size = _checks.array(caller, index, "step_size", entry["step_size"])
        _checks.fits(caller, path, param, index, prev, size)
        # Torch rounds the bounds to the dtype of the parameter, which NumPy may lack.
        rounded = split(jnp.asarray(size, jnp.result_type(param)))
        _checks.within(caller, index, rounded, low, high)
        size, prev = split((jnp.asarray(size), jnp.asarray(prev)))
        step_sizes[leaf] = jax.tree.map(lambda x, y: x.astype(y.dtype), size, like)
        prev_signs[leaf] = jax.tree.map(sign_of, prev)
    state = fresh._replace(
        step_sizes=structure.unflatten(step_sizes),
        prev_signs=structure.unflatten(prev_signs),
    )
    return (state, *others)


def to_torch_state_dict(
    state: optax.OptState,
    params: optax.Params,
    *,
    eta_minus: float = 0.5,
    eta_plus: float = 1.2,
    min_step_size: float = 1e-6,
    max_step_size: float = 50.0,
    param_names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The ``state_dict`` with which a ``torch.optim.Rprop`` continues from ``state``.

    This is the inverse of :func:`from_torch_state_dict`, for the rule ``"irprop-"``. It
    returns NumPy arrays, and torch wants tensors::

        names = [name for name, _ in module.named_parameters()]
        d = to_torch_state_dict(state, params, param_names=names)
        d["state"] = jax.tree.map(torch.from_numpy, d["state"])
        optimizer.load_state_dict(d)

    Args:
        state: The state of :func:`rprop` or :func:`scale_by_rprop`, alone or in a chain.
        params: The parameters that the state was made for.
        eta_minus: The factor that shrinks a step size. Pass the four settings of the
            :func:`rprop` that made the state: torch reads its settings from the
            ``state_dict``.
        eta_plus: The factor that grows a step size.
        min_step_size: The lower bound of the step sizes.
        max_step_size: The upper bound of the step sizes.
        param_names: The names of torch's parameters, in the order of torch's optimizer;
            torch itself loads by position. Leaves are matched to them as in
            :func:`from_torch_state_dict`. Without names, the order of
            ``jax.tree.leaves``, which sorts the keys of a dict, has to be torch's order.

    Returns:
        A dict with two entries. ``"state"`` holds, for each parameter and in its dtype,
        the ``"step_size"`` and, as ``"prev"``, the remembered sign. ``"param_groups"``
        holds a single group.

    Raises:
        TypeError: ``state`` does not hold one :class:`RpropState`, or holds it inside an
            :class:`EigenbasisState`, a :class:`BoxState` or a :class:`UnitsState`, or a
            setting is not a number. (Torch can't continue an :class:`Rprop8bitState`,
            whose growth factor changes from step to step, and has no directions but the
            axes, no bounds and no units.)
        ValueError: ``state`` does not fit ``params``, ``param_names`` do not match, or a
            setting or a step size is out of range.

    Example:
        >>> import jax.numpy as jnp, optax_rprop
        >>> params = [jnp.zeros(2)]
        >>> tx = optax_rprop.rprop()
        >>> _, state = tx.update([jnp.array([3.0, -2.0])], tx.init(params))
        >>> entry = optax_rprop.to_torch_state_dict(state, params)["state"][0]
        >>> print(entry["prev"], entry["step_size"])
        [ 1. -1.] [0.1 0.1]

    References:
        ``torch/optim/rprop.py`` of PyTorch 2.13 for the meaning of the entries.
    """
    caller = "to_torch_state_dict"
    lr = _checks.first_step_size(  # for parameters without a state: all have one
        caller, 0.01, eta_minus, eta_plus, min_step_size, max_step_size
    )
    low, high = float(min_step_size), float(max_step_size)
    _checks.along_the_axes(caller, nodes(state, EigenbasisState))
    _checks.without_bounds(caller, nodes(state, BoxState))
    _checks.without_units(caller, nodes(state, UnitsState))
    rprop_state = _checks.one_rprop(caller, nodes(state, RpropState))

    def in_float32(state: Any) -> Any:
        # A decoded 8-bit state has no wider step sizes, whatever its parameters.
        sizes = jax.tree.map(lambda size: size.astype("float32"), state.step_sizes)
        return state._replace(step_sizes=sizes)

    fresh = jax.eval_shape(lambda p: in_float32(scale_by_rprop().init(p)), params)
    found_shapes = jax.eval_shape(in_float32, rprop_state)
    hint = "Pass the parameters that it was made for."
    conforms(caller, "state", found_shapes, fresh, "that init makes of params", hint)
    trees = params, *rprop_state[:2]
    leaves = [jax.tree.leaves(tree, is_leaf=is_parts) for tree in trees]
    order = _in_torch_order(caller, params, param_names, len(leaves[0]))
    entries = {}
    for index, leaf in enumerate(order):
        param, size, sign = (of_tree[leaf] for of_tree in leaves)
        _checks.within(caller, index, size, low, high)
        sign = jax.tree.map(lambda x, y: x.astype(y.dtype), sign, size)
        dtype = jnp.result_type(param)
        if dtype == jnp.bfloat16:
            dtype = np.dtype("float32")  # NumPy has no bfloat16; torch casts it back
        entries[index] = {
            "step": np.ones((), "float32"),  # torch only asks whether there was one
            "prev": np.array(merged(sign).astype(dtype)),
            "step_size": np.array(merged(size).astype(dtype)),
        }
    group = {
        "lr": lr,
        "etas": (float(eta_minus), float(eta_plus)),
        "step_sizes": (low, high),
        "foreach": None,
        "maximize": False,
        "differentiable": False,
        "capturable": False,
        "params": list(entries),
    }
    if param_names is not None:
        group["param_names"] = list(param_names)
    return {"state": entries, "param_groups": [group]}


def _in_torch_order(
    caller: str, params: optax.Params, names: Sequence[str] | None, count: int
) -> list[int]:
    """For each of torch's ``count`` parameters, the index of its leaf in ``params``."""
    paths = [path for path, _ in jax.tree.leaves_with_path(params)]
    keyed = any(not isinstance(key, SequenceKey) for path in paths for key in path)
    if names is None or not keyed:
        count = count if names is None else len(names)
        _checks.as_many(caller, count, len(paths))
        return list(range(count))
    leaf_names = [keystr(path, simple=True, separator=".") for path in paths]
    _checks.same_names(caller, list(names), leaf_names)
    return [leaf_names.index(name) for name in names]
