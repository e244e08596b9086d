"""phydrax: a network that solves u' = -2u."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import phydrax as phx
from phydrax.constraints import DiscreteODEConstraint, InitialODEConstraint
from phydrax.operators import dt

from optax_rprop import fit, rprop

domain = phx.domain.TimeInterval(0.0, 1.0)
network = phx.nn.MLP(
    in_size="scalar", out_size="scalar", width_size=16, depth=1, key=jax.random.key(0)
)
times = jnp.linspace(0.0, 1.0, 64)  # always the same; a Continuous constraint resamples
solver = phx.solver.FunctionalSolver(
    functions={"u": domain.Model("t")(network)},
    constraints=[
        DiscreteODEConstraint("u", domain, lambda u: dt(u) + 2.0 * u, times=times),
        InitialODEConstraint("u", domain, func=1.0),
    ],
)

# Inside phydrax: without the extra arguments, which it keeps for line searches.
tx = rprop(0.01)
plain = optax.GradientTransformation(tx.init, lambda g, s, p=None: tx.update(g, s, p))
solved = solver.solve(num_iter=500, optim=plain, log_every=0)

# With fit: the functions, not the solver, whose points would be fitted too.
params, static = eqx.partition(solver.functions, eqx.is_inexact_array)


def loss_fn(params):
    functions = eqx.combine(params, static)
    return eqx.tree_at(lambda s: s.functions, solver, functions).loss()


result = fit(loss_fn, params, optimizer=rprop(0.01), target_loss=1e-5)
fitted = eqx.tree_at(lambda s: s.functions, solver, eqx.combine(result.params, static))

# Not on the page:
assert solved.loss() < 1e-4
assert result.status.name == "TARGET_REACHED"
for found in solved, fitted:
    predicted = jnp.asarray([found["u"]({"t": t}) for t in times[::9]])
    assert jnp.allclose(predicted, jnp.exp(-2 * times[::9]), atol=0.02)
