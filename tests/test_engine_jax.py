"""JAX's engine: one program for all values, on any number of devices."""

import os
import subprocess
import sys

import numpy as np
import pytest

from xbce import losses
from xbce.derivatives import value_and_grad

jax = pytest.importorskip("jax")


def test_jax_compiles_once_for_all_values(caplog):
    x, z = jax.numpy.linspace(-5, 5, 12).reshape(4, 3), jax.numpy.ones((4, 3))

    def step(number):
        weights = jax.numpy.full((4, 1), number)
        losses.sigmoid_cross_entropy(z, x, weights, 0.1 + number / 10)
        value_and_grad(z, x, 2.0 + number, 0.2 + number / 10)

    step(0.0)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        for number in (1.0, 2.0, 3.0):
            step(number)
    assert not [r for r in caplog.records if "Compiling" in r.getMessage()]


def test_a_number_for_all_weights_means_what_it_means_to_numpy():
    x, z = np.linspace(-5, 5, 12).reshape(4, 3), np.ones((4, 3))
    with jax.enable_x64(True):
        lazy = jax.numpy.asarray(z), jax.numpy.asarray(x)
        for reduction in losses.Reduction:
            for weight in (2.0, 0.0, -0.0, -3.0, np.inf, np.nan):
                pairs = zip(
                    value_and_grad(*lazy, weight, reduction=reduction),
                    value_and_grad(z, x, weight, reduction=reduction),
                    strict=True,
                )
                for actual, desired in pairs:
                    case = f"{reduction} {weight}"
                    np.testing.assert_allclose(actual, desired, 1e-12, 1e-15, err_msg=case)


def test_jax_takes_counts_that_32_bits_do_not_hold():
    with jax.enable_x64(False):
        many = jax.ShapeDtypeStruct((2**20, 2**12), jax.numpy.float32)  # never made
        program = jax.jit(losses.compute_weighted_loss).lower(many).as_text()
        assert "4.2949673E+9" in program.replace("4.29496730E+9", "4.2949673E+9")
        whole = jax.ShapeDtypeStruct(many.shape, jax.numpy.float32)
        with pytest.raises(ValueError, match="There are 4294967296 weights to count"):
            jax.eval_shape(losses.compute_weighted_loss, many, whole)
        total = jax.eval_shape(
            lambda x, w: losses.compute_weighted_loss(x, w, reduction="weighted_sum"), many, whole
        )
        assert total.shape == ()


def test_sharded_arrays_stay_sharded():
    code = (
        "import jax, numpy as np, xbce;"
        "from jax.sharding import NamedSharding, PartitionSpec as P;"
        "mesh = jax.make_mesh((4,), ('rows',));"
        "rows = NamedSharding(mesh, P('rows'));"
        "x = jax.device_put(np.linspace(-3, 3, 64, dtype='f4').reshape(16, 4), rows);"
        "z = jax.device_put(np.ones((16, 4), 'f4'), rows);"
        "loss = xbce.nn.sigmoid_cross_entropy_with_logits(labels=z, logits=x);"
        "gradient = xbce.derivatives.value_and_grad(z, x)[1];"
        "assert loss.sharding.is_equivalent_to(rows, 2), loss.sharding;"
        "assert gradient.sharding.is_equivalent_to(rows, 2), gradient.sharding;"
        "assert len(loss.sharding.device_set) == 4"
    )
    flags = "--xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
