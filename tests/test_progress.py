"""Progress: the same fit in chunks, a bar or a function, and Ctrl-C."""

import contextlib
import os
import signal
import threading
import time

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_same, bowl

from optax_rprop import FitStatus, fit
from optax_rprop._fit import _drive

START = jnp.zeros(2, "float32")


@pytest.fixture(autouse=True)
def pythons_own_handler():
    """As in the foreground: a shell lets its background jobs ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("rules", [{"max_steps": 300}, {"target_loss": 1e-9}])
def test_progress_changes_no_bit(rules, history):
    told = []
    with_it = fit(bowl, START, history=history, progress=told.append, **rules)
    assert_same(with_it, fit(bowl, START, history=history, **rules))
    steps = [seen.num_steps for seen in told]
    assert steps == sorted(set(steps))
    assert steps[-1] == with_it.num_steps
    last = told[-1]
    assert_same((last.best_loss, last.best_params), (with_it.loss, with_it.params))
    assert last.best_step == with_it.best_step
    if history:
        series = with_it.history._asdict().items()
        for name, found in series:
            expected = found[np.array(steps) - 1]
            np.testing.assert_array_equal([getattr(s, name) for s in told], expected)


def test_a_report_may_keep_what_it_is_told():
    """Numbers and copies: the fit writes into its own arrays."""
    told = []
    first = fit(bowl, START, max_steps=5, progress=told.append)
    fit(bowl, START, max_steps=5, progress=told.append, resume=first.last)
    assert [seen.num_steps for seen in told if seen.num_steps in (5, 10)] == [5, 10]
    for seen in told:
        assert type(seen.loss) is float
        assert bowl(seen.best_params) == seen.best_loss


def test_reports_come_a_few_times_a_second():
    """However fast the steps are: this is some 20,000 of them."""
    told = []
    began = time.perf_counter()
    fit(bowl, START, max_steps=20_000, patience=np.inf, progress=told.append)
    seconds = time.perf_counter() - began
    assert 2 <= len(told) <= 3 + seconds / 0.2


def test_another_optimizer_has_no_step_size_to_tell(relaxed):
    told = []
    fit(
        bowl,
        START,
        optimizer=optax.adam(0.1),
        max_steps=3,
        progress=told.append,
    )
    assert {(seen.step_size_mean, seen.flip_fraction) for seen in told} == {(None, None)}


def test_no_bar_where_the_output_is_no_terminal(capfd):
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    fit(bowl, START, max_steps=50, progress=True)
    assert capfd.readouterr() == ("", "")


def test_a_bar_where_it_is_forced(capfd):
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    fit(bowl, START, max_steps=50, progress="always")
    bar = capfd.readouterr().err
    assert "50/50" in bar
    assert "loss=" in bar
    assert "step size=" in bar


def test_a_bar_on_a_terminal():
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    import pty
    import subprocess
    import sys
    import termios

    main, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    code = (
        "import jax.numpy as jnp, optax_rprop\n"
        "optax_rprop.fit(lambda p: p**2, jnp.array(3.0), max_steps=50, progress=True)"
    )
    subprocess.run([sys.executable, "-c", code], stderr=terminal, check=True, timeout=120)
    os.set_blocking(main, False)
    written = b""
    with contextlib.suppress(BlockingIOError):  # all has been read
        while True:
            written += os.read(main, 100_000)
    os.close(terminal)
    os.close(main)
    assert b"50/50" in written


def interrupting(seen):
    """A report that presses Ctrl-C; the first one is made at once."""
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_ends_a_fit_between_chunks_and_it_can_go_on():
    usual = signal.getsignal(signal.SIGINT)
    first = fit(bowl, START, max_steps=400, progress=interrupting)
    assert first.status is FitStatus.INTERRUPTED
    assert 1 <= first.num_steps < 400
    assert np.isfinite(first.loss)
    assert first.history.loss.shape == (first.num_steps,)
    assert signal.getsignal(signal.SIGINT) is usual
    rest = fit(bowl, START, max_steps=400 - first.num_steps, resume=first.last)
    whole = fit(bowl, START, max_steps=400)
    assert_same(
        (rest.params, rest.loss, rest.last), (whole.params, whole.loss, whole.last)
    )


def test_ctrl_c_at_the_end_interrupts_nothing():
    result = fit(bowl, START, max_steps=1, progress=interrupting)
    assert result.status is FitStatus.MAX_STEPS


def test_a_second_ctrl_c_is_raised_at_once():
    def report(seen):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    usual = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(bowl, START, max_steps=400, progress=report)
    assert signal.getsignal(signal.SIGINT) is usual


def test_in_another_thread_progress_works_without_ctrl_c():
    results = []
    thread = threading.Thread(
        target=lambda: results.append(
            fit(bowl, START, max_steps=30, progress=lambda seen: None)
        )
    )
    thread.start()
    thread.join(timeout=120)
    assert results[0].num_steps == 30


@pytest.mark.parametrize("where", ["_join", "result_of", "FitStatus"])
def test_ctrl_c_after_the_last_step_loses_nothing(where, monkeypatch):
    """While the history is joined and the result is made."""
    usual = getattr(_drive, where)

    def pressed(*args):
        os.kill(os.getpid(), signal.SIGINT)
        return usual(*args)

    pressed.INTERRUPTED = FitStatus.INTERRUPTED
    monkeypatch.setattr(_drive, where, pressed)
    result = fit(bowl, START, max_steps=30, progress=lambda seen: None)
    assert result.status is FitStatus.MAX_STEPS
    assert result.num_steps == 30


def test_ctrl_c_at_the_target_is_no_interruption():
    """The last evaluation of an interrupted fit reaches the target."""
    start = jnp.asarray([10.0], "float32")
    result = fit(lambda p: p[0] ** 2, start, target_loss=98.5, progress=interrupting)
    assert result.status is FitStatus.TARGET_REACHED
    assert result.num_steps == 1


@pytest.mark.parametrize("usual", [signal.SIG_IGN, lambda *args: None, None])
def test_only_pythons_own_handler_is_replaced(usual, monkeypatch):
    """A host with its own handler, or a job that ignores Ctrl-C, keeps what it has."""
    before = signal.getsignal(signal.SIGINT)
    told = []

    def report(seen):
        told.append(signal.getsignal(signal.SIGINT))

    try:
        if usual is None:  # as in an embedded interpreter, whose handler is not Python's
            monkeypatch.setattr(signal, "getsignal", lambda signum: None)
        else:
            signal.signal(signal.SIGINT, usual)
        result = fit(bowl, START, max_steps=30, progress=report)
    finally:
        monkeypatch.undo()
        signal.signal(signal.SIGINT, before)
    assert result.status is FitStatus.MAX_STEPS
    assert told
    assert set(told) == {usual}
