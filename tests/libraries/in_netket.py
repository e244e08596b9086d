"""NetKet: a wave function with complex parameters."""

import jax.numpy as jnp
import netket as nk

from optax_rprop import fit, rprop

hilbert = nk.hilbert.Spin(s=1 / 2, N=6)
hamiltonian = nk.operator.Ising(hilbert, graph=nk.graph.Chain(6), h=1.0)
model = nk.models.RBM(alpha=1, param_dtype=complex)

# Inside NetKet: the sum over all states has no noise, which sampling has.
state = nk.vqs.FullSumState(hilbert, model, seed=0)
driver = nk.driver.VMC(hamiltonian, rprop(0.01), variational_state=state)
driver.run(n_iter=300, show_progress=False)

# With fit:
states, matrix = hilbert.all_states(), hamiltonian.to_dense()


def loss_fn(params, states, matrix):
    log_psi = model.apply({"params": params}, states)
    psi = jnp.exp(log_psi - log_psi.real.max())
    return jnp.vdot(psi, matrix @ psi).real / jnp.vdot(psi, psi).real


start = nk.vqs.FullSumState(hilbert, model, seed=0).parameters
result = fit(loss_fn, start, states, matrix, optimizer=rprop(0.01), max_steps=300)

# Not on the page:
ground = jnp.linalg.eigvalsh(matrix)[0]
assert jnp.allclose(state.expect(hamiltonian).mean.real, ground, rtol=1e-3)
assert jnp.allclose(result.loss, ground, rtol=1e-3)
