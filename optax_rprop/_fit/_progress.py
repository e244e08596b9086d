"""Progress of a long fit, as a bar or through a user's function; and Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

#: A function called a few times a second with the steps so far, the loss and the
#: geometric mean of the step sizes (None without Rprop).
Report = Callable[[int, float, float | None], object]


@contextlib.contextmanager
def reporter(progress: Any, max_steps: int) -> Iterator[Report | None]:
    """What to call with the numbers: the user's own function, or one that moves a bar."""
    if progress is False:
        yield None
        return
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
    # None shows a bar in a terminal or a notebook only.
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
