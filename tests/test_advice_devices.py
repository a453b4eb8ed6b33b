"""Arrays of JAX on two devices: an error that names both arguments, and no other error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import xbce

pytestmark = pytest.mark.backend("jax")


TWO_DEVICES = """if True:
    import json
    import sys
    import jax
    import jax.numpy as jnp
    from jax.sharding import Mesh, NamedSharding, PartitionSpec
    from xbce import derivatives, losses, nn

    first, second = jax.devices()
    mesh = Mesh(jax.devices(), ("rows",))
    explicit = jax.make_mesh((2,), ("rows",))
    x = jnp.ones((4, 2))
    kinds = {
        "uncommitted": x,
        "first": jax.device_put(x, first),
        "second": jax.device_put(x, second),
        "sharded": jax.device_put(x, NamedSharding(mesh, PartitionSpec("rows"))),
        "replicated": jax.device_put(x, NamedSharding(mesh, PartitionSpec())),
        "explicitly sharded": jax.device_put(x, NamedSharding(explicit, PartitionSpec("rows"))),
    }
    calls = {
        "labels": lambda a, b: nn.sigmoid_cross_entropy_with_logits(
            labels=a, logits=b, name="xyz"
        ),
        "onehot_labels": lambda a, b: losses.softmax_cross_entropy(a, b, scope="xyz"),
        "multi_class_labels": lambda a, b: losses.sigmoid_cross_entropy(a, b, scope="xyz"),
        "weights": lambda a, b: losses.sigmoid_cross_entropy(b, b, a, scope="xyz"),
        "where": lambda a, b: losses.sigmoid_cross_entropy(b, b, where=a > 0, scope="xyz"),
        "pos_weight": lambda a, b: nn.weighted_cross_entropy_with_logits(
            labels=b, logits=b, pos_weight=a, name="xyz"
        ),
        "weights of rank 0": lambda a, b: losses.sigmoid_cross_entropy(
            b, b, jnp.sum(a), scope="xyz"
        ),
    }
    found = {}
    for argument, call in calls.items():
        for beside, logits in json.loads(sys.argv[1]):
            try:
                result = call(kinds[beside], kinds[logits])
            except Exception as error:
                answer = f"{type(error).__name__}: {error}"
            else:
                answer = sorted(device.id for device in result.devices())
            found[f"{argument}: {beside}, {logits}"] = answer
    print(json.dumps(found))
"""
DEVICE_ARGUMENTS = [
    "labels",
    "onehot_labels",
    "multi_class_labels",
    "weights",
    "where",
    "pos_weight",
    "weights of rank 0",
]
APART = [("first", "second"), ("second", "first"), ("sharded", "first"), ("first", "sharded")]
TOGETHER = {
    ("first", "first"): [0],
    ("second", "second"): [1],
    ("uncommitted", "second"): [1],
    ("second", "uncommitted"): [1],
    ("sharded", "sharded"): [0, 1],
    ("sharded", "replicated"): [0, 1],
    ("replicated", "sharded"): [0, 1],
    ("sharded", "uncommitted"): [0, 1],
    ("uncommitted", "sharded"): [0, 1],
    ("explicitly sharded", "explicitly sharded"): [0, 1],
}


@pytest.fixture(scope="module")
def on_two_devices():
    """What each call in `TWO_DEVICES` gives: the devices of its result, or its error."""
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, json.dumps([*APART, *TOGETHER])],
        env=os.environ
        | {
            "PYTHONPATH": str(Path(xbce.__file__).parents[1]),
            "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
            "JAX_PLATFORMS": "cpu",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("pair", APART, ids=", ".join)
@pytest.mark.parametrize("argument", DEVICE_ARGUMENTS)
def test_devices_of_jax_do_not_mix(on_two_devices, argument, pair):
    text = on_two_devices[f"{argument}: {', '.join(pair)}"]
    assert isinstance(text, str), "nothing was raised"
    assert text.startswith("ValueError: ")
    assert "one device" in text
    assert f"`{argument.partition(' ')[0]}`" in text
    assert "`logits`" in text
    assert text.endswith("(in 'xyz')")


@pytest.mark.parametrize("pair", TOGETHER, ids=", ".join)
@pytest.mark.parametrize("argument", DEVICE_ARGUMENTS)
def test_what_jax_adds_may_stand_side_by_side(on_two_devices, argument, pair):
    assert on_two_devices[f"{argument}: {', '.join(pair)}"] == TOGETHER[pair]
