"""Move a running ``torch.optim.Rprop`` to JAX and back; torch need not be there."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop import _torch_checks
from optax_rprop._leaf import coordinates, from_coordinates
from optax_rprop._rule import sign_of
from optax_rprop._transform import RpropState, rprop, scale_by_rprop


def from_torch_state_dict(
    state_dict: dict[str, Any], params: optax.Params
) -> optax.OptState:
    """The state of :func:`rprop` that goes on where a ``torch.optim.Rprop`` stopped.

    Torch keeps the previous gradient, of which only the sign matters, and a step size
    for every parameter. Its rule is ``"irprop-"``: from here on, :func:`rprop` with the
    factors and bounds of torch's ``param_groups`` takes the same steps bit for bit, as
    long as no product of two gradients underflows there. (Torch's step sizes are in the
    dtype of the parameters; with float16 its steps are rounded, and those here are not.)

    Args:
        state_dict: ``torch.optim.Rprop.state_dict()``, with tensors on the CPU or arrays
            of NumPy; bfloat16 as float32. Groups are taken one after the other. A
            parameter that torch has not updated yet begins with its group's ``lr``.
        params: The parameters, whose leaves in the order of ``jax.tree.leaves`` are
            torch's parameters, with the same shapes and dtypes.

    Returns:
        The state of ``rprop(...)``; its first entry is an :class:`RpropState`, the state
        of ``scale_by_rprop(...)``.

    Raises:
        TypeError: ``state_dict`` is not that of a ``torch.optim.Rprop``, or holds what
            NumPy can't read.
        ValueError: The number of leaves, a shape or a dtype does not fit; torch
            maximises, or its groups have factors or bounds of their own.

    Example:
        >>> import numpy as np, optax_rprop
        >>> entry = {"step": 7.0, "prev": np.float32([3, -2]),
        ...          "step_size": np.float32([0.5, 0.25])}
        >>> group = {"params": [0], "lr": 0.1}
        >>> params = [np.zeros(2, "float32")]
        >>> state = optax_rprop.from_torch_state_dict(
        ...     {"state": {0: entry}, "param_groups": [group]}, params)
        >>> tx = optax_rprop.rprop()
        >>> updates, state = tx.update([np.float32([1, 1])], state)
        >>> print(updates[0])  # 1.2 times as far, and a sign change
        [-0.6 -0. ]

    References:
        ``torch/optim/rprop.py`` of PyTorch 2.13 for the meaning of the entries.
    """
    caller = "from_torch_state_dict"
    _torch_checks.state_dict(caller, state_dict)
    rates = [
        # As torch does it, at the first step.
        (index, np.clip(group["lr"], *group.get("step_sizes", (0, np.inf))))
        for group in state_dict["param_groups"]
        for index in group["params"]
    ]
    leaves = jax.tree.leaves_with_path(params)
    structure: Any = jax.tree.structure(params)
    indices = [index for index, _ in rates]
    _torch_checks.no_others(caller, state_dict["state"], indices)
    _torch_checks.as_many(caller, indices, leaves)

    initial: Any = rprop().init(params)
    fresh, *others = initial
    step_sizes, prev_signs = [], []
    for (path, param), (index, rate), like in zip(
        leaves, rates, jax.tree.leaves(fresh.step_sizes), strict=True
    ):
        entry = state_dict["state"].get(index)
        if entry is None:
            step_sizes.append(jnp.full_like(like, float(rate)))
            prev_signs.append(jnp.zeros_like(like, jnp.int8))
            continue
        prev = _torch_checks.array(caller, index, "prev", entry["prev"])
        size = _torch_checks.array(caller, index, "step_size", entry["step_size"])
        _torch_checks.fits(caller, path, param, index, prev, size)
        step_sizes.append(coordinates(jnp.asarray(size)).astype(like.dtype))
        prev_signs.append(sign_of(coordinates(jnp.asarray(prev))))
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
) -> dict[str, Any]:
    """The ``state_dict`` with which a ``torch.optim.Rprop`` goes on from ``state``.

    The way back from :func:`from_torch_state_dict`, for the rule ``"irprop-"``. The
    arrays are NumPy's; torch wants tensors::

        d = to_torch_state_dict(state, params)
        d["state"] = jax.tree.map(torch.from_numpy, d["state"])
        optimizer.load_state_dict(d)

    Args:
        state: The state of :func:`rprop` or :func:`scale_by_rprop`, in a chain or not.
        params: The parameters, whose leaves in the order of ``jax.tree.leaves`` are
            torch's parameters.
        eta_minus: As in :func:`rprop`, and so for all that follow: torch takes its
            settings from its ``state_dict``.
        eta_plus: The factor that grows a step size.
        min_step_size: The lower bound of the step sizes.
        max_step_size: The upper bound of the step sizes.

    Returns:
        A dict with ``"state"``: for each parameter its ``"step_size"`` and, as
        ``"prev"``, the remembered sign, in the dtype of the parameter; and with
        ``"param_groups"``, a single one.

    Raises:
        TypeError: ``state`` does not hold one :class:`RpropState`.
        ValueError: It is not a state of ``params``.

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
    found = [
        node
        for node in jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, RpropState))
        if isinstance(node, RpropState)
    ]
    rprop_state = _torch_checks.one_rprop(caller, found)
    fresh: Any = jax.eval_shape(scale_by_rprop().init, params)
    _torch_checks.state_of(caller, rprop_state.step_sizes, fresh.step_sizes)
    entries = {}
    leaves = map(
        jax.tree.leaves, (params, rprop_state.step_sizes, rprop_state.prev_signs)
    )
    for index, (param, size, sign) in enumerate(zip(*leaves, strict=True)):
        dtype = jnp.result_type(param)
        if dtype == jnp.bfloat16:
            dtype = np.dtype("float32")  # NumPy has no bfloat16; torch casts it back
        entries[index] = {
            "step": np.ones((), "float32"),  # torch only asks whether there was one
            "prev": np.array(from_coordinates(sign.astype(size.dtype), dtype)),
            "step_size": np.array(from_coordinates(size, dtype)),
        }
    group = {
        "lr": 0.01,  # for parameters without a state, and here all have one
        "etas": (eta_minus, eta_plus),
        "step_sizes": (min_step_size, max_step_size),
        "foreach": None,
        "maximize": False,
        "differentiable": False,
        "capturable": False,
        "params": list(entries),
    }
    return {"state": entries, "param_groups": [group]}
