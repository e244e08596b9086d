"""jinns: a network that solves u' = -2u."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jinns

from optax_rprop import fit, rprop

layers = (eqx.nn.Linear, 1, 16), (jnp.tanh,), (eqx.nn.Linear, 16, 1)
network, weights = jinns.nn.PINN_MLP.create(
    key=jax.random.key(0), eqx_list=layers, eq_type="ODE"
)
params = jinns.parameters.Params(nn_params=weights, eq_params={})


class Decay(jinns.loss.ODE):
    def equation(self, t, u, params):
        return jax.jacfwd(lambda t: u(t, params))(t)[:, 0] + 2 * u(t, params)


loss = jinns.loss.LossODE(
    u=network,
    dynamic_loss=Decay(),
    initial_condition=(0.0, 1.0),
    loss_weights=jinns.loss.LossWeightsODE(dyn_loss=1.0, initial_condition=1.0),
    params=params,
)
points = jinns.data.DataGeneratorODE(
    key=jax.random.key(1), nt=64, tmin=0.0, tmax=1.0, method="grid"
)

# Inside jinns: the loss goes to `value=` by the name it has there.
solved, losses, *_ = jinns.solve(
    n_iter=500,
    init_params=params,
    data=points,
    loss=loss,
    optimizer=rprop(0.01, variant="irprop+"),
    extra_optax_args_and_kwargs={
        "value": jinns.solver.GetJinnsVariableName("train_loss_value")
    },
    verbose=False,
)

# With fit: always the same points.
_, batch = points.get_batch()


def loss_fn(params, batch):
    return loss.evaluate(params, batch)[0]


result = fit(loss_fn, params, batch, optimizer=rprop(0.01), target_loss=1e-5)

# Not on the page:
assert losses[-1] < 1e-4
times = jnp.linspace(0.0, 1.0, 11)[:, None]
for found in solved, result.params:
    predicted = jax.vmap(lambda t: network(t, found))(times)  # noqa: B023
    assert jnp.allclose(predicted, jnp.exp(-2 * times), atol=0.02)
assert result.status.name == "TARGET_REACHED"
