"""Progress of a long fit: a bar, or a function of the user's; and Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

#: What is told a few times a second: steps so far, loss, geometric mean of the step sizes
#: (None without Rprop).
Report = Callable[[int, float, float | None], object]


@contextlib.contextmanager
def reporter(progress: Any, max_steps: int) -> Iterator[Report]:
    """The function to call with the numbers: the user's own, or one that moves a bar."""
    if callable(progress):
        yield progress
        return
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            f"fit: progress must be False without tqdm, got {progress!r}. "
            "pip install 'optax-rprop[progress]' brings it; a function needs nothing."
        ) from error
    # None: no bar where the output is no terminal; a notebook counts as one.
    disable = False if progress == "always" else None
    with tqdm(total=max_steps, disable=disable, unit="step") as bar:

        def report(num_steps: int, loss: float, step_size: float | None) -> None:
            numbers = {"loss": f"{loss:.4g}"}
            if step_size is not None:
                numbers["step size"] = f"{step_size:.2g}"
            bar.set_postfix(numbers, refresh=False)
            bar.update(num_steps - bar.n)

        yield report


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Hold the first Ctrl-C back; the function tells if there was one.

    So that it falls between two chunks, where the result is whole. A second one is raised
    at once, as usual. Elsewhere than in the main thread Python allows no handler.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    usual = signal.getsignal(signal.SIGINT)

    def hold(signum: int, frame: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, hold)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, usual)
