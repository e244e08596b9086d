"""A gradient over sharded data in several ways, and what they reduce over the chips."""

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from program_reader import sent_bytes
from programs import placed, shape, step_of

WIDTH, BATCHES = 512, 8


def loss_fn(params, x):
    for w in params:
        x = jnp.tanh(x @ w)
    return jnp.mean(jnp.square(x), dtype=jnp.float32)


def summed(params, batches):
    """The loss and its gradient, summed over batches."""

    def add(total, x):
        return jax.tree.map(jnp.add, total, jax.value_and_grad(loss_fn)(params, x)), None

    first = jax.value_and_grad(loss_fn)(params, batches[0])
    return jax.lax.scan(add, first, batches[1:])[0]


def all_at_once(params, batches, mesh):
    return jax.value_and_grad(loss_fn)(params, batches.reshape(-1, WIDTH))


def batches_in_jit(params, batches, mesh):
    return summed(params, batches)


def batches_in_shard_map(params, batches, mesh):
    def local(params, batches):  # every device sums its own, and then all of them do
        params = jax.lax.pcast(params, "x", to="varying")
        return jax.lax.psum(summed(params, batches), "x")

    specs = (P(), P(None, "x"))
    return jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=P())(params, batches)


def data_parallel(optimizer, dtype, gradient, mesh):
    """A step with sharded data, lowered, and its number of parameters."""
    step = step_of(optimizer)

    def whole(params, state, batches):
        loss, gradients = gradient(params, batches, mesh)
        return *step(params, state, gradients), loss

    params = [shape((WIDTH, WIDTH), dtype)] * 4
    state = jax.eval_shape(optimizer.init, params)
    batches = shape((BATCHES, 64, WIDTH), dtype)
    spec = P("x") if gradient is all_at_once else P(None, "x")
    lowered = jax.jit(whole, donate_argnums=(0, 1)).lower(
        placed(params, NamedSharding(mesh, P())),
        placed(state, NamedSharding(mesh, P())),
        placed(batches, NamedSharding(mesh, spec)),
    )
    return lowered, sum(leaf.size for leaf in params)


def reduced_bytes(program):
    """The bytes of all reductions; in the one loop of a program, of all its rounds."""
    of_entry, of_loop = (
        [op for op in operations if op in program.collectives]
        for operations in (program.entry, program.loop)
    )
    others = [op for op in program.collectives if op not in of_entry + of_loop]
    assert not others, others
    assert {op.kind.removesuffix("-start") for op in of_entry + of_loop} == {"all-reduce"}
    return sent_bytes(of_entry) + (BATCHES - 1) * sent_bytes(of_loop)
