"""An Optax transformation over a tree, made from a step on one leaf."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop import _checks as shared_checks
from optax_rprop._leaf import finfo, merged, scalar_like, split
from optax_rprop._rule import RULES, Variant
from optax_rprop._transform import _checks


class Verdict(NamedTuple):
    """What the loss says about the last step."""

    loss_rose: jax.Array | bool
    rejected: jax.Array | None  # whether it is not finite; None without a loss


class Form(NamedTuple):
    """One way to store step sizes and signs."""

    state: Any  # the NamedTuple that init returns; it has a ``prev_value``
    memory: tuple[str, ...]  # its fields that hold an array for every coordinate
    init: Callable[[optax.Params], Any]
    # Takes the state and the verdict; returns a function from a leaf's gradient and
    # arrays to its update and new arrays.
    stepper: Callable[[Any, Verdict], Callable[..., tuple[jax.Array, ...]]]
    check: Callable[[str, Any, Any, Any], None]  # caller, grads, state, params


def transformation(
    name: str, variant: Variant, form: Form
) -> optax.GradientTransformationExtraArgs:
    """The rule ``variant`` in this form; error messages name the function ``name``."""

    def init_fn(params: optax.Params) -> Any:
        shared_checks.parameters(f"{name}.init", params)
        return form.init(params)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        *,
        value: jax.typing.ArrayLike | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, Any]:
        del extra_args
        caller = f"{name}.update"
        _checks.state(caller, state, form.state)
        form.check(caller, updates, state, params)
        _checks.loss(caller, variant, RULES[variant].needs_loss, value)
        verdict, prev_value = _judge_loss(value, state.prev_value)

        updates = split(updates)
        structure: Any = jax.tree.structure(updates)
        trees = (updates, *(getattr(state, field) for field in form.memory))
        step_leaf = form.stepper(state, verdict)
        steps = [
            step_leaf(*leaf) for leaf in zip(*map(jax.tree.leaves, trees), strict=True)
        ]
        updates, *memory = (
            structure.unflatten(step[part] for step in steps)
            for part in range(len(trees))
        )
        new = dict(zip(form.memory, memory, strict=True)) | {"prev_value": prev_value}
        return merged(updates), state._replace(**new)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _negate(
    updates: optax.Updates, state: Any, params: optax.Params | None = None
) -> tuple[optax.Updates, Any]:
    del params
    return jax.tree.map(jnp.negative, updates), state


# It does what optax.scale(-1) does. But a complex product with -1 would compute each part
# from both, and so a TPU, which keeps the two apart, would read the arrays of both twice.
negated = optax.GradientTransformation(lambda _: optax.ScaleState(), _negate)


def no_loss_yet(params: optax.Params) -> jax.Array:
    """The ``prev_value`` of a new state: no finite loss is above it."""
    dtype = jnp.result_type(float)
    # Not inf, which jax_debug_infs would report as an error.
    return scalar_like(params, finfo(dtype).max, dtype)


def real_number(number: Any) -> Any:
    """A complex array without an imaginary part as a real one; anything else as it is.

    ``optax.inject_hyperparams`` casts numbers to the dtype of the parameters, which may
    be complex.
    """
    is_array = isinstance(number, jax.Array | np.ndarray | np.generic)
    if not (is_array and jnp.iscomplexobj(number)):
        return number
    traced = shared_checks.is_traced(number)
    return number.real if traced or not np.any(number.imag) else number


def _judge_loss(
    value: jax.typing.ArrayLike | None, prev_value: jax.Array
) -> tuple[Verdict, jax.Array]:
    """What the loss says about the last step, and the loss to remember."""
    if value is None:
        return Verdict(loss_rose=False, rejected=None), prev_value
    value = jnp.asarray(value, prev_value.dtype)
    rejected = ~jnp.isfinite(value)
    rose = value > prev_value
    return Verdict(rose, rejected), jnp.where(rejected, prev_value, value)
