"""Cubed: an array made inside a call has the Spec of its user's arrays, or Cubed refuses both."""

import numpy as np
import pytest
from calls import DEFAULT, arrays, each_of, results

from xbce.losses import Reduction

pytestmark = pytest.mark.backend("dask")  # other lazy arrays, tested in the same session
cubed = pytest.importorskip("cubed")


@each_of(
    "sigmoid-where-number",
    "sigmoid-all",
    "focal",
    "softmax-smoothing",
    "softmax-all",
    "sparse-all",
    "value_and_grad-all",
)
def test_cubed_arrays_keep_the_spec_of_their_user(tmp_path, call):
    spec = cubed.Spec(work_dir=str(tmp_path), allowed_mem="500MB")

    def lazy(array):
        return cubed.from_array(array, chunks=(4, *array.shape[1:])[: array.ndim], spec=spec)

    a = arrays(7)
    reductions = (Reduction.NONE, *DEFAULT)
    actual = results(call, {name: lazy(array) for name, array in a.items()}, reductions)
    computed = cubed.compute(*actual)
    for one, other in zip(computed, results(call, a, reductions), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
