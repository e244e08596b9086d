"""Where other implementations go wrong, on the same gradients as this one.

    python tests/benchmarks/pitfalls.py

Runs this package, optax.rprop and, if it is installed, torch.optim.Rprop through four
situations, prints what each does, and draws their paths down one parabola.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from figures import look, plt, save
from measure import arguments, show, show_machine, write

from optax_rprop import fit, rprop

try:
    import torch
except ImportError:
    torch = None
    print("torch is not installed: torch.optim.Rprop is left out")


def run_jax(transformation, start, gradient, steps):
    """The parameter before each step and after the last."""
    x = jnp.asarray(start)
    state, path = transformation.init(x), [start]
    for i in range(steps):
        updates, state = transformation.update(gradient(x, i), state, x)
        x = optax.apply_updates(x, updates)
        path.append(x)
    return np.array(path, "float64")


def run_torch(start, gradient, steps):
    x = torch.from_numpy(np.array(start))
    optimizer, path = torch.optim.Rprop([x], lr=0.1), [start]
    for i in range(steps):
        x.grad = torch.from_numpy(np.array(gradient(jnp.asarray(x.numpy()), i)))
        optimizer.step()
        path.append(x.numpy().copy())
    return np.array(path, "float64")


def paths(gradient, start, steps):
    """By name, where each goes: all see ``gradient(x, step)``, from the same start."""
    found = {
        "rprop": run_jax(rprop(), start, gradient, steps),
        "optax.rprop": run_jax(optax.rprop(0.1), start, gradient, steps),
    }
    if torch:
        found["torch.optim.Rprop"] = run_torch(start, gradient, steps)
    return found


def constant(size, dtype="float32"):
    return lambda x, i: jnp.asarray(size, dtype)


def poisoned(x, i):
    return jnp.asarray(np.nan if i == 1 else 1, "float32")


def parabola(x, i):
    return 2 * x


def stops_at(path, tolerance=1e-4):
    """Where a rule on the size of the update calls a run converged."""
    still = np.abs(np.diff(path)) <= tolerance
    return float(path[1:][still][0]) if still.any() else None


def last_step(path):
    return float(path[-2] - path[-1])


def checks():
    """Rows of a situation, what is right and what each does; and the paths to draw."""
    zero, half = np.float32(0), np.float16(0)
    rows = []

    def ask(question, right, found):
        answers = {
            name: x if x is None or np.isfinite(x) else "NaN" for name, x in found.items()
        }
        rows.append({"situation": question, "right": right} | answers)

    def answer(path_of, read):
        return {name: read(path) for name, path in path_of.items()}

    first = answer(paths(constant(1.0), zero, 1), last_step)
    ask("first step, gradient 1", 0.1, first)
    grown = 0.1 * 1.2**9
    for size in (1.0, 1e-22, 1e-23, 1e-37):
        tenth = answer(paths(constant(size), zero, 10), last_step)
        ask(f"tenth step, gradient {size:g}, float32", grown, tenth)
    for size in (1.0, 1e-3, 1e-4):
        tenth = answer(paths(constant(size, "float16"), half, 10), last_step)
        ask(f"tenth step, gradient {size:g}, float16", grown, tenth)
    after = answer(paths(poisoned, zero, 6), lambda path: float(path[-1]))
    gone = 0.1 + 0.1 * (1 + 1.2 + 1.2**2 + 1.2**3)
    ask("parameter after gradients 1, NaN, 1, 1, 1, 1", -gone, after)
    stopped = answer(paths(parabola, np.float32(0.05), 12), stops_at)
    ask("x**2 from 0.05: an update-size test stops at", None, stopped)
    return rows, paths(parabola, np.float32(0.25), 20)


def fit_stops_at():
    """Where ``fit`` ends, whose rule is on the step sizes."""
    result = fit(lambda x: x**2, jnp.float32(0.05), step_tol=1e-4)
    return abs(float(result.params))


def draw(down):
    figure, axis = plt.subplots(figsize=(7, 3.6))
    for shift, (name, path) in enumerate(down.items()):
        # Side by side where they agree.
        axis.plot(np.arange(len(path)) + 0.06 * shift, path, **look(name, marker=True))
    axis.axhline(0, color="0.8", zorder=0)
    axis.annotate(
        "at rest for a step after a sign change",
        (3.5, down["rprop"][3]),
        (6, down["rprop"][3] - 0.06),
        arrowprops={"arrowstyle": "->"},
    )
    axis.set(ylim=(-0.2, 0.28), xticks=range(0, 21, 2))
    axis.set(xlabel="steps", ylabel="x", title="Down x², from 0.25, first step 0.1")
    axis.legend()
    save(figure, "pitfalls")


if __name__ == "__main__":
    options = arguments("pitfalls", __doc__, rounds=1).parse_args()
    show_machine()
    with jax.numpy_dtype_promotion("standard"):
        rows, down = checks()
    show("The same gradients for all; a dash where a test would not stop", rows)
    print(f"\nfit with step_tol=1e-4 on the last one ends at |x| = {fit_stops_at():.1e}")
    draw(down)
    write(options, {"pitfalls": rows, "fit stops at": [{"|x|": fit_stops_at()}]})
