"""The compiled update, read: nothing is stored or passed over that need not be."""

import collections
import re

import jax
import jax.numpy as jnp
import pytest
from helpers import PLATFORMS, every_plain_rule
from jax import export
from program_reader import Program, copies, kernels, passes
from programs import bare_loop, fitted, in_loop, step_of

from optax_rprop import rprop, rprop_8bit

N = 4096
ELEMENTWISE = set(
    "constant broadcast_in_dim convert bitcast_convert compare select add subtract "
    "multiply negate minimum maximum and or xor not is_finite shift_left "
    "shift_right_logical".split()
)


def compile_donated(step, tx, params, gradient):
    jitted = jax.jit(step, donate_argnums=(0, 1))
    return jitted.lower(params, tx.init(params), gradient).compile()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("tx", "outputs"), [(rprop(), 3), (rprop_8bit(), 2)], ids=["rprop", "8bit"]
)
def test_one_pass_an_output_and_no_temporaries(tx, outputs, dtype):
    params = jnp.zeros(N, dtype)
    compiled = compile_donated(step_of(tx), tx, params, params)
    program = Program(compiled)
    assert [op.kind for op in passes(program.entry, N)] == ["fusion"] * outputs
    assert program.temporaries == 0


@pytest.mark.parametrize("tx", [rprop(), rprop_8bit()], ids=["rprop", "8bit"])
def test_no_temporaries_in_a_loop(tx):
    params, target = jnp.zeros(N, "float32"), jnp.ones(N, "float32")
    compiled = compile_donated(in_loop(step_of(tx)), tx, params, target)
    program = Program(compiled)
    assert passes(program.loop, N)  # it is the loop that we read
    assert not copies(program.loop, N)
    assert program.temporaries <= 512  # some scalars


@pytest.mark.parametrize(("tx", "size"), [(rprop(), 5), (rprop_8bit(), 1)])
def test_bytes_of_state(tx, size):
    state = tx.init(jnp.zeros(N, "float32"))
    arrays = [leaf.nbytes for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert sum(arrays) == size * N


@every_plain_rule
def test_the_same_elementwise_program_for_every_platform(make):
    """What a backend that fuses several outputs makes one kernel of."""
    tx = make()
    params = jax.ShapeDtypeStruct((N,), jnp.float32)
    state = jax.eval_shape(tx.init, params)
    value = jax.ShapeDtypeStruct((), jnp.float32)
    programs = []
    for platform in PLATFORMS:
        exported = export.export(jax.jit(step_of(tx)), platforms=[platform])
        program = exported(params, state, params, value=value).mlir_module()
        programs.append(collections.Counter(re.findall(r"stablehlo\.(\w+)", program)))
    assert programs[0]["select"] > 0  # it is a program that we read
    assert not set(programs[0]) - ELEMENTWISE
    assert all(program == programs[0] for program in programs)


def bare_and_fitted(loss, tx, params, data):
    """The compiled programs of a bare loop and of a fit."""
    return [
        Program(jax.jit(make(loss, tx)).lower(params, data).compile())
        for make in (bare_loop, fitted)
    ]


@pytest.mark.parametrize("tx", [rprop(), rprop_8bit()], ids=["rprop", "8bit"])
def test_a_fit_copies_no_array_that_a_bare_loop_does_not(tx):
    """Not the parameters, nor the best, nor the gradients: only the optimizer's state."""
    params, data = jnp.zeros(N, "float32"), jnp.ones(N, "float32")

    def loss(params, data):
        return jnp.mean((params - data) ** 2)

    by_hand, whole = (
        collections.Counter(op.kind for op in passes(program.loop, N))
        for program in bare_and_fitted(loss, tx, params, data)
    )
    assert whole["fusion"] > by_hand["fusion"] > 0  # it is the loops that we read
    before_0_10 = jax.__version_info__ < (0, 10)  # one copy more of the 8-bit codes
    assert whole["copy"] <= by_hand["copy"] + before_0_10


def test_a_fit_adds_two_passes_for_each_array_and_otherwise_a_fixed_number():
    """One keeps the best parameters, one a gradient that a bare loop need not store."""
    tx = rprop()

    def loss(params, x):
        return sum(jnp.sum((p - x) ** 2) for p in params)

    def added(num_arrays):
        params = [jnp.zeros(40 + i) for i in range(num_arrays)]
        by_hand, whole = bare_and_fitted(loss, tx, params, 1.0)
        return len(kernels(whole.loop)) - len(kernels(by_hand.loop))

    few, many = added(3), added(9)
    assert 0 < few < 40
    before_0_10 = jax.__version_info__ < (0, 10)  # one more in all
    assert many - few <= 2 * (9 - 3) + before_0_10
