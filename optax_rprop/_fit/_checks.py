"""Checks of what ``fit`` is given."""

import contextlib
import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop._checks import (
    conforms,
    dtype_of,
    is_traced,
    kind_of,
    parameters,
    path_name,
    type_of,
)
from optax_rprop._fit._result import FitState

NO_DERIVATIVE = (
    "fit: its inputs must not be differentiated, got a derivative through fit. Rprop "
    "follows signs, so it would be zero without being right. Differentiate the "
    "solution: optimistix.minimise with optax_rprop.optimistix.RpropMinimiser and "
    "ImplicitAdjoint (docs/fit.md). Or pass its inputs through jax.lax.stop_gradient."
)

SAME = (
    "Pass result.last of a fit with the same parameters and the same kind of optimizer."
)


def arguments(
    caller: str,
    *,
    loss_fn: Any,
    optimizer: Any,
    max_steps: Any,
    microbatch_size: Any,
    has_aux: Any,
    history: Any,
    progress: Any,
    resume: Any,
    stop_when: Any,
    unknown: dict[str, Any],
) -> None:
    """Raise unless each argument of a fit but parameters, data and numbers is right."""
    no_unknown(caller, unknown)
    function(caller, loss_fn)
    transformation(caller, optimizer)
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
                f"fit: microbatch_size must be None with has_aux, got "
                f"{microbatch_size}. The aux of slices is not that of the whole; compute "
                "it from result.params."
            )
    for name, value in (("has_aux", has_aux), ("history", history)):
        if not isinstance(value, bool):
            raise TypeError(
                f"{caller}: {name} must be True or False, got {kind_of(value)}. Data "
                "goes by position, after params."
            )
    is_bar = hasattr(progress, "set_postfix")  # tqdm's, which can be called too
    is_name = isinstance(progress, str) and progress == "always"
    if not (isinstance(progress, bool) or is_name or callable(progress)) or is_bar:
        raise TypeError(
            f"{caller}: progress must be True, False, 'always' or a function, got "
            f"{_shown(progress)}. A function is called with a StepRecord; True makes a "
            "bar."
        )
    if stop_when is not None and not callable(stop_when):
        raise TypeError(
            f"{caller}: stop_when must be a function, got {kind_of(stop_when)}. It is "
            "called with a StepRecord and returns a bool."
        )
    if resume is not None and not isinstance(resume, FitState):
        raise TypeError(
            f"{caller}: resume must be a FitState, got {type(resume).__name__}. {SAME}"
        )


def transformation(caller: str, optimizer: Any) -> None:
    """Raise unless ``optimizer`` is a transformation of Optax."""
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            f"{caller}: optimizer must be an Optax transformation, got "
            f"{kind_of(optimizer)}. rprop() is the default; for a MultiSteps ms "
            "pass optax.GradientTransformationExtraArgs(ms.init, ms.update)."
        )


def no_unknown(caller: str, unknown: dict[str, Any]) -> None:
    """Raise if there are keywords that name no argument."""
    if unknown:
        names = ", ".join(unknown)
        raise TypeError(
            f"{caller}: every keyword must name an argument of {caller}, got {names}. "
            f"Data goes by position, {caller}(loss_fn, params, {_DATA[caller]}); "
            "settings of Rprop go into optimizer=rprop(...)."
        )


def many(caller: str, starts: Any) -> None:
    """Raise unless there are as many starts in every leaf."""
    parameters(caller, starts)
    has_arrays(caller, starts)
    unequal = _unequal_sizes(starts)
    if unequal is not None:
        listed = ", ".join(f"{size} at {path_name(path)}" for path, size in unequal)
        raise ValueError(
            f"{caller}: starts must have one leading size, got {listed}. Each entry of "
            "the leading axis is a start; jax.vmap(init)(jax.random.split(key, 8)) makes "
            "eight."
        )


def answer(value: Any) -> None:
    """Raise unless a rule of the user's own returned a bool."""
    if dtype_of(value) != np.dtype(bool) or np.shape(value) != ():
        raise TypeError(
            f"stop_when: the answer must be one bool, got {type_of(value)}. Compare what "
            "is in the record with jnp, for example seen.loss < 0.1."
        )


def function(caller: str, loss_fn: Any) -> None:
    """Raise unless ``loss_fn`` can be called."""
    if not callable(loss_fn):
        raise TypeError(
            f"{caller}: loss_fn must be a function, got {kind_of(loss_fn)}. It is called "
            "as loss_fn(params, *args)."
        )


def data(caller: str, **trees: Any) -> None:
    """Raise unless every leaf is an array or a number that JAX can hold."""
    for name, tree in trees.items():
        if all(map(_is_data, jax.tree.leaves(tree))):
            continue
        for path, leaf in jax.tree.leaves_with_path(tree):
            if not _is_data(leaf):
                found, hint = _kind_of_data(leaf)
                raise TypeError(
                    f"{caller}: {name} must hold arrays and numbers that JAX can use, "
                    f"got {found} at {path_name(path)}. {hint or _WAYS_OUT[name]}"
                )


_WAYS_OUT = {
    "params": "Convert a pandas object with .to_numpy().",
    "args": "What follows params is data, a pandas object as .to_numpy(); all else has a "
    "name, such as optimizer=rprop().",
    "resume": SAME,
    "batch": "A batch is an array, or a tuple of arrays.",
    "aux": "Return it as an array, or compute it from result.params.",
}


def values(caller: str, params: Any) -> None:
    """Raise if the parameters of a fit over a stream are traced."""
    if is_traced(params):
        raise TypeError(
            f"{caller}: params must have values, got traced ones. A stream is read on "
            "the host; inside jax.jit use fit with microbatch_size."
        )


def stream(caller: str, batches: Any) -> None:
    """Raise unless ``batches`` can be passed over again and again."""
    if isinstance(batches, Iterator):
        raise TypeError(
            f"{caller}: batches must give all of the data at every pass, got a "
            f"{type(batches).__name__}, which is used up after one. Pass a list, a "
            "loader, or a function that returns a new generator."
        )
    if not (callable(batches) or isinstance(batches, Iterable)) or isinstance(
        batches, dict
    ):
        raise TypeError(
            f"{caller}: batches must be an iterable of batches or a function that "
            f"returns one, got {type(batches).__name__}. Wrap a single batch in a list."
        )


def not_traced(progress: Any) -> None:
    """Raise if a fit with progress was called inside jit or vmap."""
    if progress is not False:
        raise ValueError(
            f"fit: progress must be False inside jit or vmap, got "
            f"{_shown(progress)}. There the whole run is one program that reports "
            "nothing before its end."
        )


def has_arrays(caller: str, params: Any) -> None:
    """Raise unless there is something to fit in the parameters."""
    if not any(np.size(leaf) for leaf in jax.tree.leaves(params)):
        raise ValueError(
            f"{caller}: params must hold at least one array, got "
            f"{jax.tree.structure(params)}. There is nothing to fit in it."
        )


def start(objective: Any, params: Any, args: Any) -> None:
    """Raise unless the loss can be evaluated at the parameters and the data."""
    has_arrays("fit", params)
    if objective.microbatch_size is not None:
        batch("fit", "args", args)
    try:
        signature = inspect.signature(objective.loss_fn)
    except (TypeError, ValueError):  # of some callables it is not known
        return
    try:
        signature.bind(params, *args)
    except TypeError as error:
        raise TypeError(
            f"fit: args must be the data that loss_fn{signature} takes after "
            f"params, got {len(args)} of them. Call fit(loss_fn, params, *args); "
            "functools.partial binds keywords."
        ) from error


@contextlib.contextmanager
def errors_of_the_loss(caller: str, params: Any, args: Any) -> Iterator[None]:
    """Add to an error from the loss what the loss was called with."""
    try:
        yield
    except _NEEDS_A_VALUE as error:
        raise TypeError(
            f"{caller}: loss_fn must compute with jax.numpy, got an operation that needs "
            f"a value: {type(error).__name__}. It is traced, so use jnp instead of numpy "
            "and float(), and jnp.where instead of if."
        ) from error
    except Exception as error:
        types = ", ".join(str(jax.tree.map(type_of, arg)) for arg in (params, *args))
        types = types.replace("'", "")[:300]
        error.add_note(f"{caller} called loss_fn(params, *args) with {types}.")
        raise


_NEEDS_A_VALUE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def loss_and_aux(output: Any, has_aux: bool) -> tuple[Any, Any]:
    """The loss and the aux that ``loss_fn`` returned; raise unless that is right."""
    aux = None
    if has_aux:
        if not (isinstance(output, tuple) and len(output) == 2):
            raise TypeError(
                f"fit: loss_fn must return a pair with has_aux=True, got "
                f"{kind_of(output)}. The loss comes first, then anything else."
            )
        output, aux = output
        data("fit", aux=aux)
    loss_output("fit", output, "With has_aux=True it returns a pair, the loss first.")
    return output, aux


def loss_output(caller: str, loss: Any, hint: str) -> None:
    """Raise unless ``loss_fn`` returned a real floating-point scalar."""
    dtype = dtype_of(loss)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"{caller}: loss_fn must return a real floating-point number, got "
            f"{kind_of(loss)}. {hint}"
        )
    if np.shape(loss) != ():
        raise ValueError(
            f"{caller}: loss_fn must return a scalar, got shape {np.shape(loss)}. Take "
            "the mean or the sum over the data."
        )


def batch(caller: str, of: str, args: Any) -> None:
    """Raise unless the arrays of ``args`` share the size of their leading axis."""
    unequal = _unequal_sizes(args)
    if unequal is not None:
        listed = ", ".join(
            f"{size} in {of}{jax.tree_util.keystr(path)}" for path, size in unequal
        )
        raise ValueError(
            f"{caller}: {of} must have one leading size, got {listed or 'no arrays'}. It "
            "is the axis of the mean; what has no such axis belongs into params or into "
            "loss_fn."
        )


def resume(caller: str, state: Any, expected: Any) -> None:
    """Raise unless ``state`` has the structure, shapes and dtypes of ``expected``."""
    conforms(caller, "resume", state, expected, "of the state of this fit", SAME)


LARGEST_COUNT = 2**31 - 1
_DATA = {"fit": "x, y", "fit_many": "x, y", "streaming_fit": "batches"}


def _is_data(leaf: Any) -> bool:
    if isinstance(leaf, jax.core.Tracer | bool | float | complex):
        return True
    if isinstance(leaf, jax.Array):
        return not leaf.is_deleted()
    if isinstance(leaf, int):
        limits = np.iinfo(jnp.result_type(int))
        return bool(limits.min <= leaf <= limits.max)
    if isinstance(leaf, np.ndarray | np.generic):
        return jnp.issubdtype(leaf.dtype, np.number) or leaf.dtype == bool
    return False


def _kind_of_data(leaf: Any) -> tuple[str, str | None]:
    """What a leaf is that is no data, and the way out if it depends on that."""
    if isinstance(leaf, jax.Array):
        return "a deleted array", "It was donated or deleted; pass a copy."
    if isinstance(leaf, int):
        return f"the int {leaf}", "Make it a float."
    if isinstance(leaf, np.ndarray | np.generic):
        return kind_of(leaf), "Turn text and objects into numbers."
    return type(leaf).__name__, None


def _shown(progress: Any) -> str:
    if isinstance(progress, bool | str):
        return repr(progress)
    return "a function" if inspect.isroutine(progress) else kind_of(progress)


def _unequal_sizes(tree: Any) -> list[tuple[Any, Any]] | None:
    """The leading sizes by path; None where all leaves have one, and entries."""
    sizes = [
        (path, (np.shape(leaf) or (None,))[0])
        for path, leaf in jax.tree.leaves_with_path(tree)
    ]
    found = {size for _, size in sizes}
    return None if len(found) == 1 and not found & {None, 0} else sizes


def _count(caller: str, name: str, value: Any, why: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{caller}: {name} must be an int, got {value!r}. {why}")
    if value < 1:
        raise ValueError(f"{caller}: {name} must be at least 1, got {value}. {why}")
    if value > LARGEST_COUNT:
        raise ValueError(f"{caller}: {name} must be less than 2**31, got {value}. {why}")
