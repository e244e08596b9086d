"""On many chips: what they send to each other, and what lies on each."""

import collections

import jax
import jax.numpy as jnp
import pytest
from gradients import (
    all_at_once,
    batches_in_jit,
    batches_in_shard_map,
    data_parallel,
    reduced_bytes,
)
from helpers import PLAIN, each_of, name_of
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from program_reader import Program, kernels, sent_bytes
from programs import fitted, hand_written, network, placed, shape, step_of

from optax_rprop import rprop
from optax_rprop._fit import _limits_checks
from optax_rprop._fit._drive import Programs, programs_for
from optax_rprop._fit._objective import Objective

N = 2**30  # parameters, float32
KEPT = {"irprop-": 13, "irprop+": 13, "8bit-irprop-": 9, "8bit-irprop+": 9}
SCALARS = 2**15  # bytes
WIDTHS = (256, 256, 256, 256)
every_mesh = pytest.mark.parametrize("chips", [8, 256])
each_form = each_of({name: PLAIN[name] for name in ("irprop-", "8bit-irprop-")})


def mesh_of(target, chips):
    if target.is_gpu and chips == 256:
        pytest.skip("the GPUs of one host")
    return target.mesh(chips)


def like_params(tree, mesh, spec):
    """Arrays as ``spec`` says, scalars everywhere."""
    return jax.tree.map(
        lambda x: placed(x, NamedSharding(mesh, spec if x.ndim else P())), tree
    )


@every_mesh
@each_of({name: PLAIN[name] for name in KEPT})
def test_an_update_sends_nothing(make, chips, record, target):
    mesh, tx = mesh_of(target, chips), make()
    params = shape((N,), jnp.float32)
    state, value = jax.eval_shape(tx.init, params), shape((), jnp.float32)
    args = like_params((params, state, params), mesh, P("x"))
    value = like_params(value, mesh, P())
    step = jax.jit(step_of(tx), donate_argnums=(0, 1))
    compiled = step.lower(*args, value=value).compile()

    program, memory = Program(compiled), compiled.memory_analysis()
    record(
        "sharded update",
        chips=chips,
        optimizer=name_of(make),
        collectives=len(program.collectives),
        **{"MB a chip": memory.argument_size_in_bytes / 1e6},
        **{"temporaries, bytes a chip": memory.temp_size_in_bytes},
    )
    assert kernels(program.entry)  # it is a program that we read
    assert not program.collectives
    assert 0 <= memory.argument_size_in_bytes - KEPT[name_of(make)] * N // chips < SCALARS
    assert memory.temp_size_in_bytes < SCALARS
    for out, given in zip(
        jax.tree.leaves(compiled.output_shardings), jax.tree.leaves(args[:2]), strict=True
    ):
        assert out.is_equivalent_to(given.sharding, given.ndim)


@every_mesh
@each_form
@pytest.mark.parametrize("how", ["by hand", "fit"])
def test_only_gradient_and_loss_are_reduced(make, how, chips, record, target):
    """Data sharded, parameters on every chip: in a fit no more than by hand."""
    mesh, tx = mesh_of(target, chips), make()
    loss, params, data = network(WIDTHS, rows=64 * chips)
    data = placed(data, NamedSharding(mesh, P("x")))
    state = like_params(jax.eval_shape(tx.init, params), mesh, P())
    params = like_params(params, mesh, P())
    if how == "fit":
        compiled = jax.jit(fitted(loss, tx)).lower(params, *data).compile()
    else:
        step = jax.jit(hand_written(loss, tx), donate_argnums=(0, 1))
        compiled = step.lower(params, state, *data).compile()

    found = Program(compiled).collectives
    sent = [array for operation in found for array in operation.results]
    num_params = sum(leaf.size for leaf in params)
    record(
        "sharded data",
        chips=chips,
        optimizer=name_of(make),
        step=how,
        collectives=len(found),
        **{"bytes a parameter": sent_bytes(found) / num_params},
        scalars=sum(array.size for array in sent) - num_params,
    )
    assert [op.kind.removesuffix("-start") for op in found] == ["all-reduce"]
    assert {array.dtype for array in sent} == {"f32"}
    assert sum(array.size for array in sent) == num_params + 1  # the loss


def loop_from_the_host(loss, tx, params, data, mesh, spec):
    """The loop of a fit that is called outside ``jit``, where it sees the placing."""
    programs = programs_for(Objective(loss, False, None), tx, None, Programs)
    limits = _limits_checks.limits(
        "fit", target_loss=None, step_tol=None, patience=100, rtol=1e-3
    )
    held = jax.eval_shape(programs._start, limits, params, data, None)
    held = like_params(held, mesh, spec)
    held = held._replace(scalars=like_params(held.scalars, mesh, P()))
    return programs.run.lower(False, limits, data, held, 500, 500).compile()


@every_mesh
@each_form
@pytest.mark.parametrize("widths", [WIDTHS[:2], WIDTHS], ids=["2 arrays", "6 arrays"])
def test_a_fit_of_sharded_parameters_adds_seven_scalars(
    widths, make, chips, record, target
):
    """The loss gathers the parameters, by hand too; the update sends nothing."""
    mesh, tx = mesh_of(target, chips), make()
    loss, params, data = network(widths, rows=64 * chips)
    data = placed(data, NamedSharding(mesh, P("x")))
    state = like_params(jax.eval_shape(tx.init, params), mesh, P("x"))
    params = like_params(params, mesh, P("x"))
    step = jax.jit(hand_written(loss, tx), donate_argnums=(0, 1))
    by_hand, whole = (
        collections.Counter(
            (op.kind.removesuffix("-start"), tuple(sorted(op.results)))
            for op in Program(compiled).collectives
        )
        for compiled in (
            step.lower(params, state, *data).compile(),
            loop_from_the_host(loss, tx, params, data, mesh, P("x")),
        )
    )
    added = whole - by_hand
    scalars = sum(array.size for _, results in added.elements() for array in results)
    record(
        "sharded parameters",
        chips=chips,
        optimizer=name_of(make),
        arrays=len(params),
        **{"collectives by hand": by_hand.total(), "fit adds": added.total()},
        **{"scalars that it adds": scalars},
    )
    assert not by_hand - whole
    assert {kind for kind, _ in added} == {"all-reduce"}
    assert (added.total(), scalars) == (4, 7)


@pytest.mark.parametrize("gradient", [all_at_once, batches_in_jit, batches_in_shard_map])
def test_how_often_a_gradient_in_batches_is_reduced(gradient, record, target):
    """Once; but for batches in jit a GPU reduces the first and the sum of the others."""
    times = 2 if target.is_gpu and gradient is batches_in_jit else 1
    mesh = target.mesh(8)
    program, num_params = data_parallel(rprop(), jnp.float32, gradient, mesh)
    sent = reduced_bytes(Program(program.compile())) / num_params
    record("batches", chips=8, gradient=gradient.__name__, **{"bytes a parameter": sent})
    assert round(sent, 3) == 4 * times  # and a loss
