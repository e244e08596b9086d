"""Validation of what the user passed to ``fit``; the template is that of _checks.py."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop._checks import (
    as_number,
    dtype_of,
    kind_of,
    list_unless,
    parameters,
    path_name,
)
from optax_rprop._identity import RpropRules, checksum


def arguments(
    caller: str,
    *,
    loss_fn: Any,
    optimizer: Any,
    max_steps: Any,
    target_loss: Any,
    step_tol: Any,
    patience: Any,
    rtol: Any,
    microbatch_size: Any,
    has_aux: Any,
    progress: Any,
) -> None:
    """Raise unless each argument of ``fit`` but the parameters and the data is right."""
    function(caller, loss_fn)
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            f"{caller}: optimizer must be an Optax transformation, got "
            f"{kind_of(optimizer)}. rprop() is the default; optax.MultiSteps has a "
            "gradient_transformation()."
        )
    _count(caller, "max_steps", max_steps, "It bounds the run; 1000 is the default.")
    if microbatch_size is not None:
        _count(
            caller,
            "microbatch_size",
            microbatch_size,
            "It is the number of entries in a slice; None takes all of the data at once.",
        )
        if has_aux:
            raise ValueError(
                f"{caller}: microbatch_size must be None with has_aux, got "
                f"{microbatch_size}. The aux of slices is not that of the whole; compute "
                "it from result.params."
            )
    if patience is not None:
        at_least_one = as_number(caller, "patience", patience)
        if at_least_one is not None and not at_least_one >= 1:
            raise ValueError(
                f"{caller}: patience must be at least 1, got {at_least_one:g}. It is a "
                "number of steps; 50 to 200 is usual."
            )
    target = (
        None if target_loss is None else as_number(caller, "target_loss", target_loss)
    )
    if target is not None and math.isnan(target):
        raise ValueError(
            f"{caller}: target_loss must be a number, got {target:g}. No loss is at or "
            "below it; None asks for no target."
        )
    tolerance = None if step_tol is None else as_number(caller, "step_tol", step_tol)
    if tolerance is not None and not tolerance > 0:
        raise ValueError(
            f"{caller}: step_tol must be positive, got {tolerance:g}. It is a step size, "
            "in the units of the parameters, not below min_step_size."
        )
    improvement = as_number(caller, "rtol", rtol)
    if improvement is not None and not 0 <= improvement < 1:
        raise ValueError(
            f"{caller}: rtol must be at least 0 and less than 1, got {improvement:g}. It "
            "is the relative improvement that patience waits for; 1e-4 is the default."
        )
    if not (isinstance(progress, bool) or progress == "always" or callable(progress)):
        raise TypeError(
            f"{caller}: progress must be True, False, 'always' or a function, got "
            f"{progress!r}. A function is called with num_steps, loss and step_size."
        )


def function(caller: str, loss_fn: Any) -> None:
    """Raise unless ``loss_fn`` can be called, and found again by its hash."""
    if not callable(loss_fn):
        raise TypeError(
            f"{caller}: loss_fn must be a function, got {kind_of(loss_fn)}. It is called "
            "as loss_fn(params, *args)."
        )
    try:
        hash(loss_fn)
    except TypeError as error:
        raise TypeError(
            f"{caller}: loss_fn must be hashable, got {kind_of(loss_fn)}. What was "
            "compiled is found by it again; pass arrays as args, and wrap it in a plain "
            "function."
        ) from error


def not_traced(caller: str, progress: Any, inputs: Any) -> None:
    """Raise if a fit with progress was called inside jit or vmap."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(inputs)):
        raise ValueError(
            f"{caller}: progress must be False inside jit or vmap, got {progress!r}. "
            "There the whole run is one program that reports nothing before its end."
        )


def something_to_fit(caller: str, params: Any) -> None:
    """Raise if ``params`` has no entries."""
    if not any(np.size(leaf) for leaf in jax.tree.leaves(params)):
        raise ValueError(
            f"{caller}: params must hold at least one array, got "
            f"{jax.tree.structure(params)}. There is nothing to fit in it."
        )


def arrays(caller: str, params: Any, args: Any) -> None:
    """Raise unless every leaf is an array or a number."""
    if all(isinstance(leaf, _USUAL) for leaf in jax.tree.leaves((params, args))):
        return
    parameters(caller, params)
    wrong = list_unless(lambda leaf: dtype_of(leaf) is not None, args)
    if wrong:
        raise TypeError(
            f"{caller}: args must hold arrays, got {wrong}. What follows "
            "params is data; all else has a name, such as optimizer=rprop()."
        )


_USUAL = (jax.Array, np.ndarray, float, int)


def pair(caller: str, output: Any) -> None:
    """Raise unless ``loss_fn`` returned a pair, as ``has_aux`` says."""
    if not (isinstance(output, tuple) and len(output) == 2):
        raise TypeError(
            f"{caller}: loss_fn must return a pair with has_aux=True, got "
            f"{kind_of(output)}. The loss comes first, then anything else."
        )


def loss_output(caller: str, loss: Any) -> None:
    """Raise unless ``loss_fn`` returned a real floating-point scalar."""
    dtype = dtype_of(loss)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"{caller}: loss_fn must return a real floating-point number, got "
            f"{kind_of(loss)}. With has_aux=True it returns a pair, the loss first."
        )
    if np.shape(loss) != ():
        raise ValueError(
            f"{caller}: loss_fn must return a scalar, got shape {np.shape(loss)}. Take "
            "the mean or the sum over the data."
        )


def batch(caller: str, of: str, args: Any) -> None:
    """Raise unless the arrays of ``args`` share the size of their leading axis."""
    sizes = {
        jax.tree_util.keystr(path): (np.shape(leaf) or (None,))[0]
        for path, leaf in jax.tree.leaves_with_path(args)
    }
    if len(set(sizes.values())) != 1 or None in sizes.values() or 0 in sizes.values():
        listed = ", ".join(f"{size} in {of}{path}" for path, size in sizes.items())
        raise ValueError(
            f"{caller}: {of} must have one leading size, got {listed or 'no arrays'}. It "
            "is the axis of the mean; what has no such axis belongs into params or into "
            "loss_fn."
        )


def no_batches(caller: str) -> None:
    """Raise: there was nothing to iterate over."""
    raise ValueError(
        f"{caller}: batches must yield at least one batch, got none. A generator is used "
        "up after one pass; make a new one for every epoch."
    )


def no_step_tol(caller: str, step_tol: Any) -> None:
    """Raise if the rule on step sizes was asked of an optimizer that has none."""
    if step_tol is not None:
        raise ValueError(
            f"{caller}: step_tol must be None for an optimizer without step sizes, got "
            f"{step_tol}. Only Rprop has them; use target_loss or patience."
        )


_SAME = "Pass result.last of a fit with the same loss, optimizer and parameters."


def fit_state(caller: str, value: Any, kind: type) -> None:
    """Raise unless ``value`` is of the ``kind`` that a fit returns as its last state."""
    if not isinstance(value, kind):
        raise TypeError(
            f"{caller}: resume must be a {kind.__name__}, got {type(value).__name__}. "
            f"{_SAME}"
        )


def resume(caller: str, state: Any, expected: Any) -> None:
    """Raise unless ``state`` has the structure, shapes and dtypes of ``expected``."""
    structure: Any = jax.tree.structure(state)
    if structure != jax.tree.structure(expected):
        raise ValueError(
            f"{caller}: resume must have the structure {jax.tree.structure(expected)}, "
            f"got {structure}. {_SAME}"
        )
    wrong = [
        f"{path_name(path)} of {kind_of(leaf)} and shape {np.shape(leaf)} instead of "
        f"dtype {want.dtype} and shape {want.shape}"
        for (path, leaf), want in zip(
            jax.tree.leaves_with_path(state), jax.tree.leaves(expected), strict=True
        )
        if np.shape(leaf) != want.shape or dtype_of(leaf) != want.dtype
    ]
    if wrong:
        raise ValueError(
            f"{caller}: resume must fit the parameters and the optimizer, got "
            f"{', '.join(wrong)}. {_SAME}"
        )


def same_rules(caller: str, found: Any, rules: RpropRules) -> None:
    """Raise unless ``found``, the checksum in a state, is that of ``rules``."""
    if isinstance(found, jax.core.Tracer):
        return
    if np.any(np.asarray(found) != checksum(rules)):
        names = ", ".join(sorted({name for name, *_ in rules})) or "none of Rprop"
        raise ValueError(
            f"{caller}: resume must come from a fit with the rules of the optimizer, "
            f"{names}, got one with others. The step sizes and signs of one "
            "rule mean something else to another; pass the optimizer of that fit."
        )


def _count(caller: str, name: str, value: Any, why: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{caller}: {name} must be an int, got {value!r}. {why}")
    if value < 1:
        raise ValueError(f"{caller}: {name} must be at least 1, got {value}. {why}")
    if value >= 2**31:
        raise ValueError(f"{caller}: {name} must be less than 2**31, got {value}. {why}")
