"""The kernels of one step of a fit, beside those of a bare loop of the same optimizer.

A GPU takes some microseconds to launch a kernel, so a small fit is as fast as it has few.
What only a refresh of the bases does is in a conditional of its own, and not counted.
"""

import pytest
from program_reader import Program, kernels
from programs import bare_loop, fitted, network

from optax_rprop import in_eigenbasis, rprop, rprop_8bit

NETWORKS = {2: (32, 8), 4: (32, 32, 8), 16: (32, *[32] * 7, 8)}  # by number of arrays
OPTIMIZERS = {
    "rprop": rprop,
    "rprop_8bit": rprop_8bit,
    "in_eigenbasis": lambda: in_eigenbasis(rprop()),
}
# For every array, beside twenty.
ADDED_ON_A_TPU = {"rprop": 3, "rprop_8bit": 5, "in_eigenbasis": 6}


@pytest.mark.parametrize("arrays", NETWORKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_kernels_of_a_step(arrays, optimizer, target, compiler, record):
    loss, params, data = network(NETWORKS[arrays], rows=256)
    tx = OPTIMIZERS[optimizer]()
    bare, whole = (
        len(kernels(Program(compiler(make(loss, tx), params, *data)).loop))
        for make in (bare_loop, fitted)
    )
    record("kernels", optimizer=optimizer, arrays=arrays, bare=bare, fit=whole)
    added = whole - bare
    if not target.is_gpu:  # it brings every array into the layout of a vector
        assert 0 < added <= 20 + ADDED_ON_A_TPU[optimizer] * arrays
    elif optimizer == "in_eigenbasis":
        assert added <= 2 * arrays
    else:
        assert added <= 4
