"""PennyLane: a QNode in the loss."""

import jax
import jax.numpy as jnp
import pennylane as qml

from optax_rprop import fit

jax.config.update("jax_enable_x64", True)
fields = [-qml.X(wire) for wire in range(3)]
energy = qml.sum(-qml.Z(0) @ qml.Z(1), -qml.Z(1) @ qml.Z(2), *fields)


@qml.qnode(qml.device("default.qubit", wires=3))
def circuit(angles):
    for layer in angles:
        for wire in range(3):
            qml.RY(layer[wire], wires=wire)
        qml.CNOT(wires=[0, 1])
        qml.CNOT(wires=[1, 2])
    return qml.expval(energy)


def loss_fn(angles):  # a function is compiled once, a QNode at every fit
    return circuit(angles)


start = 0.1 * jax.random.normal(jax.random.key(0), (4, 3))
result = fit(loss_fn, start, step_tol=1e-4)

# Not on the page:
ground = jnp.linalg.eigvalsh(qml.matrix(energy, wire_order=range(3)))[0]
assert result.status.name == "STEP_CONVERGED"
assert jnp.allclose(result.loss, ground, rtol=1e-3)
