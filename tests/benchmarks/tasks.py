"""Full-batch tasks: real data that ships inside packages, and classics without data.

    python tests/benchmarks/tasks.py

prints them, with what their targets were taken from. A target is fixed before any method
is compared, the same for all of them, by the kind of the task:

- ``separable``: cross-entropy 0.01, for a network can get every label right;
- ``network``: three quarters of the squared error of linear least squares, in two digits,
  for the noise is not known: the network found what a line can't;
- ``noise``: the squared error of the function that made the data, in two digits;
- ``likelihood``: 0.001 above the lowest negative log-likelihood known, for each
  observation, in three decimals; 0.01 for the Gaussian process, as float32 has it;
- ``equation``: mean squared residual 0.001, the unknown function and the residual being
  of size 1;
- ``valley``: loss 1e-6. The smallest curvature is 1 and a start is of size 1, so that no
  parameter may then be off by more than 0.0015.

The valleys are quadratic and turned against the axes, made for a method that turns: they
are not among ``TASKS``, and in no mean over tasks.

Inputs are standardised, and so are real targets. The lowest loss known is that of
SciPy's BFGS, from seeds that are not compared. Needs scikit-learn and statsmodels.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import statsmodels.datasets as statsmodels
from jax.flatten_util import ravel_pytree
from jax.scipy.stats import multivariate_normal
from measure import show
from scipy.optimize import minimize
from sklearn import datasets as sklearn
from threadpoolctl import threadpool_limits

# Threads of the BLAS that factorises the small matrix of the Gaussian process wait for
# each other many times longer than they work.
threadpool_limits(1, "blas")

NUM_SPIRAL, NUM_BITS, NUM_LAGS = 100, 6, 12


class Task(NamedTuple):
    """``loss(init(key), *data)`` is to fall to ``target``."""

    kind: str
    target: float
    init: Callable[[jax.Array], Any]
    loss: Callable[..., jax.Array]
    data: tuple[jax.Array, ...]


def standardised(x):
    return jnp.asarray((x - np.mean(x, axis=0)) / (np.std(x, axis=0) + 1e-9), "float32")


def network(*sizes):
    """The initial parameters of a network with these numbers of units."""
    glorot = jax.nn.initializers.glorot_uniform()

    def init(key):
        pairs = zip(jax.random.split(key, len(sizes) - 1), sizes, sizes[1:], strict=False)
        return [{"w": glorot(k, (m, n)), "b": jnp.zeros(n)} for k, m, n in pairs]

    return init


def outputs(layers, x):
    *hidden, last = layers
    for layer in hidden:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ last["w"] + last["b"]


def cross_entropy(layers, x, y):
    logits = outputs(layers, x)
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def squared_error(layers, x, y):
    return jnp.mean((outputs(layers, x)[:, 0] - y) ** 2)


def classification(x, y, *hidden, kind="separable", target=0.01):
    """A network; without hidden units, a regression."""
    init = network(x.shape[1], *hidden, len(np.unique(y)))
    return Task(kind, target, init, cross_entropy, (standardised(x), jnp.asarray(y)))


def regression(x, y, *hidden, kind, target):
    init = network(x.shape[1], *hidden, 1)
    return Task(kind, target, init, squared_error, (standardised(x), standardised(y)))


def spirals():
    """Two spirals of one and a half turns, one the other turned by half a turn."""
    t = np.sqrt(np.linspace(0.02, 1, NUM_SPIRAL))
    arm = t[:, None] * np.stack([np.cos(3 * np.pi * t), np.sin(3 * np.pi * t)], axis=1)
    y = np.repeat([0, 1], NUM_SPIRAL)
    return classification(np.concatenate([arm, -arm]), y, 16, 16)


def parity():
    x = np.arange(2**NUM_BITS)[:, None] >> np.arange(NUM_BITS) & 1
    return classification(x, x.sum(axis=1) % 2, NUM_BITS * 2)


def anes96():
    """Seven degrees of party loyalty from nine answers: a multinomial regression."""
    data = statsmodels.anes96.load_pandas().data
    x = data.drop(columns=["PID", "popul"]).to_numpy()
    y = data["PID"].to_numpy().astype(int)
    return classification(x, y, kind="likelihood", target=1.349)


def fair():
    """An affair or none from eight answers: a logistic regression."""
    data = statsmodels.fair.load_pandas().data
    x, y = data.drop(columns="affairs").to_numpy(), (data["affairs"] > 0).to_numpy()
    return classification(x, y.astype(int), kind="likelihood", target=0.546)


def star98():
    """Shares of pupils above the median: binomial regression on 20 entangled columns."""
    data = statsmodels.star98.load_pandas().data.to_numpy()
    above, below, x = data[:, 0], data[:, 1], data[:, 2:]

    def loss(layers, x, share, weight):
        logits = outputs(layers, x)[:, 0]
        return jnp.sum(weight * optax.sigmoid_binary_cross_entropy(logits, share))

    total = above + below
    arrays = standardised(x), jnp.asarray(above / total), jnp.asarray(total / total.sum())
    return Task("likelihood", 0.62, network(x.shape[1], 1), loss, arrays)


def heart():
    """Days of survival with a new heart, some censored: a Weibull model in the age."""
    data = statsmodels.heart.load_pandas().data

    def init(key):
        names = "scale", "age", "shape"
        return dict(zip(names, jax.random.uniform(key, (3,), minval=-1), strict=True))

    def loss(p, log_days, age, died):
        shape = jnp.exp(p["shape"])
        z = shape * (log_days - p["scale"] - p["age"] * age)
        return jnp.mean(jnp.exp(z) - died * (p["shape"] + z))

    days, age, died = (data[name] for name in ("survival", "age", "censors"))
    arrays = standardised(np.log(days)), standardised(age), jnp.asarray(died, "float32")
    return Task("likelihood", 1.322, init, loss, arrays)


def sunspots():
    """The next year from the twelve before."""
    series = statsmodels.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy()
    windows = np.lib.stride_tricks.sliding_window_view(series, NUM_LAGS + 1)
    return regression(windows[:, :-1], windows[:, -1], 16, kind="network", target=0.1)


def co2():
    """The marginal likelihood of five years, monthly, in seven hyperparameters."""
    ppm = statsmodels.co2.load_pandas().data["co2"].resample("MS").mean().dropna()[-60:]
    names = "line", "trend", "years", "season", "shape", "fading", "noise"

    def init(key):
        logs = jax.random.uniform(key, (len(names),), minval=-1)
        return dict(zip(names, logs, strict=True))

    def loss(logs, x, y):
        p = jax.tree.map(jnp.exp, logs)
        d = x[:, None] - x
        line = p["line"] ** 2 * x[:, None] * x
        trend = p["trend"] ** 2 * jnp.exp(-0.5 * (d / p["years"]) ** 2)
        wave = jnp.exp(-2 * (jnp.sin(jnp.pi * d) / p["shape"]) ** 2)
        season = p["season"] ** 2 * wave * jnp.exp(-0.5 * (d / p["fading"]) ** 2)
        noise = (p["noise"] ** 2 + 1e-4) * jnp.eye(len(x))  # 1e-4 is for float32
        matrix = line + trend + season + noise
        return -multivariate_normal.logpdf(y, jnp.zeros(len(y)), matrix) / len(y)

    years = (ppm.index.year + ppm.index.month / 12).to_numpy()
    arrays = jnp.asarray(years - years.mean(), "float32"), standardised(ppm.to_numpy())
    return Task("likelihood", -0.666, init, loss, arrays)


def oscillator():
    """u'' + 2 d w u' + w**2 u = 0 from u = 1 and u' = 0, time in [0, 1]."""
    omega, damping = 10.0, 0.2

    def loss(layers, t):
        def u(t):
            return outputs(layers, t[None])[0]

        velocity = jax.grad(u)
        acceleration = jax.grad(velocity)

        def residual(t):
            force = 2 * damping * omega * velocity(t) + omega**2 * u(t)
            return (acceleration(t) + force) / omega**2

        at_start = (u(t[0]) - 1) ** 2 + (velocity(t[0]) / omega) ** 2
        return jnp.mean(jax.vmap(residual)(t) ** 2) + at_start

    return Task("equation", 1e-3, network(1, 16, 16, 1), loss, (jnp.linspace(0, 1, 64),))


def burgers():
    """u_t + u u_x = 0.05 u_xx for u = -sin(pi x) at first, which steepens to a front."""

    def loss(layers, x, t):
        # Zero at both walls and right at the start, whatever the network says.
        def u(x, t):
            free = outputs(layers, jnp.stack([x, t]))[0]
            return -jnp.sin(jnp.pi * x) + t * (1 - x**2) * free

        def residual(x, t):
            u_x, u_t = jax.grad(u, argnums=(0, 1))(x, t)
            u_xx = jax.grad(jax.grad(u))(x, t)
            return u_t + u(x, t) * u_x - 0.05 * u_xx

        return jnp.mean(jax.vmap(residual)(x, t) ** 2)

    x, t = jnp.meshgrid(jnp.linspace(-1, 1, 21), jnp.linspace(0, 0.5, 11))
    return Task("equation", 1e-3, network(2, 12, 12, 1), loss, (x.ravel(), t.ravel()))


def turned(angle):
    """Axes in the plane, turned by so many degrees."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[c, s], [-s, c]])


def valley(curvatures, axes):
    """A quadratic with these curvatures along the rows of ``axes``."""

    def init(key):
        return jax.random.normal(key, (len(axes),))

    def loss(x, rows):
        return jnp.sum((rows @ x) ** 2) / 2

    rows = np.sqrt(curvatures)[:, None] * axes
    return Task("valley", 1e-6, init, loss, (jnp.asarray(rows),))


def valley_20():
    """Twenty random axes, condition number 10,000."""
    axes, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 20)))
    return valley(np.geomspace(1, 1e4, 20), axes)


def friedman():
    """Friedman's first function of five inputs of ten, with noise of variance 1."""
    x, y = sklearn.make_friedman1(n_samples=500, noise=1.0, random_state=0)
    return regression(x, y, 16, kind="noise", target=0.039)


TASKS = {
    "digits": classification(*sklearn.load_digits(return_X_y=True), 16),
    "iris": classification(*sklearn.load_iris(return_X_y=True), 16),
    "wine": classification(*sklearn.load_wine(return_X_y=True), 16),
    "breast_cancer": classification(*sklearn.load_breast_cancer(return_X_y=True), 16),
    "spirals": spirals(),
    "parity": parity(),
    "anes96": anes96(),
    "fair": fair(),
    "star98": star98(),
    "heart": heart(),
    "diabetes": regression(
        *sklearn.load_diabetes(return_X_y=True), 16, kind="network", target=0.36
    ),
    "sunspots": sunspots(),
    "friedman": friedman(),
    "co2": co2(),
    "oscillator": oscillator(),
    "burgers": burgers(),
}
VALLEYS = {
    "valley_30": valley(np.array([1, 1e3]), turned(30)),
    "valley_15": valley(np.array([1, 1e4]), turned(15)),
    "valley_20": valley_20(),
}


def lowest(task):
    """The lowest loss that SciPy's BFGS finds from five starts."""
    evaluate = jax.jit(jax.value_and_grad(task.loss))

    def run(seed):
        start, shaped = ravel_pytree(task.init(jax.random.key(seed)))

        def loss(flat):
            value, grad = evaluate(shaped(jnp.asarray(flat, "float32")), *task.data)
            return float(value), np.asarray(ravel_pytree(grad)[0], "float64")

        return minimize(loss, start, jac=True, method="BFGS").fun

    return min(map(run, range(1000, 1005)))


def linear_error(x, y):
    inputs = np.c_[x, np.ones(len(x))]
    return float(np.mean((y - inputs @ np.linalg.lstsq(inputs, y)[0]) ** 2))


if __name__ == "__main__":
    rows = []
    for name, task in (TASKS | VALLEYS).items():
        params = jax.eval_shape(task.init, jax.random.key(0))
        reference = None
        if task.kind == "network":
            reference = linear_error(*task.data)
        elif task.kind == "likelihood":
            reference = lowest(task)
        rows.append(
            {
                "task": name,
                "kind": task.kind,
                "points": len(task.data[0]),
                "parameters": sum(p.size for p in jax.tree.leaves(params)),
                "target": task.target,
                "reference": reference,
            }
        )
    show("Tasks", rows)
