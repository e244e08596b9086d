"""A Gaussian process that forecasts carbon dioxide
================================================

Fit a Gaussian process to 25 years of carbon dioxide levels, and forecast the next six.

The data are monthly means from Mauna Loa, which come with statsmodels. The fit maximises
the marginal likelihood over seven hyperparameters. Blum and Riedmiller (2013) recommend
Rprop for this. The first step is far too large on purpose. Where the Cholesky
factorisation fails in float32, the loss is NaN, and `fit` takes that step back. Needs
matplotlib and statsmodels::

    python examples/gaussian_process.py [--out picture.png]
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from jax.scipy.stats import multivariate_normal
from statsmodels.datasets import co2

from optax_rprop import fit, rprop

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, default="gaussian_process.png")
out = parser.parse_args().out
ppm = co2.load_pandas().data["co2"].resample("MS").mean().dropna()["1971":]
years = (ppm.index.year + (ppm.index.month - 0.5) / 12).to_numpy()
n = int((years < 1996).sum())  # to fit; the months after that are held out
x, y = jnp.asarray(years - 1971), jnp.asarray(ppm - (offset := ppm.iloc[:n].mean()))


def covariance(log_p, x):  # without the noise, whose variance is returned beside it
    p = jax.tree.map(jnp.exp, log_p)
    d = x[:, None] - x
    line = p["line"] ** 2 * x[:, None] * x
    trend = p["trend"] ** 2 * jnp.exp(-0.5 * (d / p["trend_years"]) ** 2)
    wave = jnp.exp(-2 * (jnp.sin(jnp.pi * d) / p["season_shape"]) ** 2)
    decay = jnp.exp(-0.5 * (d / p["season_years"]) ** 2)
    return line + trend + p["season"] ** 2 * wave * decay, p["noise"] ** 2


def loss_fn(log_p, x, y):  # the negative log marginal likelihood, for each month
    signal, noise = covariance(log_p, x)
    matrix = signal + noise * jnp.eye(len(x))  # nothing else keeps it positive definite
    return -multivariate_normal.logpdf(y, jnp.zeros(len(y)), matrix) / len(y)


def forecast(log_p):  # the mean and the standard deviation of every month
    signal, noise = covariance(log_p, x)
    weights = jnp.linalg.solve(signal[:n, :n] + noise * jnp.eye(n), signal[:n])
    variance = jnp.diag(signal) + noise - (signal[:n] * weights).sum(axis=0)
    return y[:n] @ weights, jnp.sqrt(variance)


# %%
# A fit that survives
# -------------------
names = "line", "trend", "trend_years", "season", "season_shape", "season_years", "noise"
start = dict.fromkeys(names, 0.0)  # each is 1; a first step of 4 makes it 55 or 1/55
result = fit(loss_fn, start, x[:n], y[:n], optimizer=rprop(4.0), patience=50)
losses = result.history.loss
num_failed = int((~jnp.isfinite(losses)).sum())
print(f"{result.status.name} after {result.num_steps} steps; NaN losses: {num_failed}")
print(", ".join(f"{name} {jnp.exp(result.params[name]):.3g}" for name in names))
(old_mean, _), (mean, deviation) = forecast(start), forecast(result.params)
before, after = (jnp.sqrt(jnp.mean((m - y)[n:] ** 2)) for m in (old_mean, mean))
print(f"loss {losses[0]:.3f} -> {result.loss:.3f}, RMSE {before:.2f} -> {after:.2f} ppm")

# %%
# The forecast
# ------------
figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
low, high = (offset + mean + k * deviation for k in (-1.96, 1.96))
axes.fill_between(years, low, high, color="#A6CEE9", lw=0, label="95 % band")
axes.plot(years, offset + mean, color="#0072B2", lw=1, label="mean of the process")
axes.plot(years[:n], ppm[:n], ".", color="black", ms=3, label="measured, fitted")
axes.plot(years[n:], ppm[n:], ".", color="#D55E00", ms=4, label="measured, held out")
axes.set(xlabel="year", ylabel="carbon dioxide (ppm)", xlim=(1988, 2002), ylim=(346, 377))
axes.legend(frameon=False, loc="upper left")
figure.savefig(out, dpi=150)

assert num_failed > 0, "no loss was NaN: nothing to survive"
assert result.loss < 0.4, f"the loss should be below 0.4, got {result.loss}"
assert after < 1.5 < before, f"the RMSE should be below 1.5 ppm, got {after}"
print(f"OK: {out.name} drawn; the fit survived {num_failed} failed factorisations.")
