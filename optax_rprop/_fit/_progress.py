"""Progress of a long fit, as a bar or through a user's function; and Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from optax_rprop._fit._record import StepRecord
from optax_rprop._fit._result import FitState

#: A function called a few times a second with what the last step saw.
Report = Callable[[StepRecord], object]


@contextlib.contextmanager
def reporter(
    progress: Any, max_steps: int, resume: FitState | None
) -> Iterator[Report | None]:
    """What to call with a record: the user's own function, or one that moves a bar."""
    if progress is False:
        yield None
        return
    if callable(progress):
        yield lambda seen: progress(_for_people(seen))
        return
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            f"fit: progress must be False without tqdm, got {progress!r}. "
            "pip install 'optax-rprop[progress]' brings it; a function needs nothing."
        ) from error
    # None shows a bar in a terminal or a notebook only.
    disable = False if progress == "always" else None
    with tqdm(total=max_steps, disable=disable, unit="step") as bar:
        first = 0 if resume is None else int(resume.num_steps)

        def report(seen: StepRecord) -> None:
            numbers = {"loss": f"{float(seen.loss):.4g}"}
            if seen.step_size_mean is not None:
                numbers["step size"] = f"{float(seen.step_size_mean):.2g}"
            bar.set_postfix(numbers, refresh=False)
            bar.update(int(seen.num_steps) - first - bar.n)

        yield report


def _for_people(seen: StepRecord) -> StepRecord:
    """The record as numbers, and with copies: the fit writes into its own arrays."""
    scalars = seen._asdict()
    arrays = {name: scalars.pop(name) for name in ("best_params", "best_aux")}
    copies = jax.tree.map(jnp.copy, arrays)
    return StepRecord(**jax.tree.map(lambda x: x.item(), scalars), **copies)


@contextlib.contextmanager
def deferred_interrupt(deferring: bool) -> Iterator[Callable[[], bool]]:
    """Defer the first Ctrl-C; the yielded function says whether it was pressed.

    So the fit can end between two calls, where its result is consistent. A second one is
    raised at once, as usual. Only Python's own handler is replaced: a host with another,
    or a background job that ignores Ctrl-C, keeps what it has.
    """
    pressed = threading.Event()
    usual = signal.getsignal(signal.SIGINT)
    if (
        not deferring
        or threading.current_thread() is not threading.main_thread()
        or usual is not signal.default_int_handler
    ):
        yield pressed.is_set
        return

    def defer(signum: int, frame: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, defer)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, usual)
