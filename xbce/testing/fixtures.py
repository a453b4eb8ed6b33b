"""Tests over array libraries: a plugin of pytest, for any project.

Ask for it in the ``conftest.py`` of the folder that pytest starts in::

    pytest_plugins = ["xbce.testing.fixtures"]

A test that takes `xp`, `device`, `dtype` or `array` then runs on each array library: NumPy,
array-api-strict, PyTorch, CuPy, JAX and Dask, on each device and floating dtype that it asks for::

    def test_not_negative(xp, dtype, array):
        logits = array([-1.0, 0.0, 2.0], dtype)
        assert xp.all(my_loss(xp.ones_like(logits), logits) >= 0)

- A library that is not installed, or has no GPU here, is skipped by its name, with the reason.
- ``pytest --backend torch`` runs the tests on PyTorch alone, and those that are about no library.
  A library that is chosen so and can not run is an error.
- Some libraries run in several variants, such as ``jax`` and ``jax-jit``: ``pytest --help`` has a
  line on each. Options and markers take the name of a library, or of one variant.
- ``@pytest.mark.backend("torch", "jax")`` marks a test that is about PyTorch or JAX: it is
  deselected where ``--backend`` chooses others, and runs on no others if it takes `xp`.
- ``@pytest.mark.needs("autodiff")`` leaves out libraries that do not differentiate. ``pytest
  --markers`` lists the other capabilities.
- ``@pytest.mark.skip_on("dask", reason="...")`` and ``@pytest.mark.xfail_on("dask", ...)`` are skip
  and xfail of pytest, on some libraries.
- What a test parametrizes itself, or a project has a fixture of its own for, stays as it is. That
  fixture may take the one of the same name from here, with pytest 9 or newer.
  ``@pytest.mark.parametrize("dtype", ["float32"], indirect=True)`` gives each library's float32.
- All fixtures have the scope of a function, and tests of a `unittest.TestCase` can not take them. A
  fixture of a wider scope can make numbers, of which a test makes arrays.
- Functions that a test module hands to ``array_api_extra.testing.lazy_xp_function`` are jitted in
  ``jax-jit``, and may not compute in ``dask``. The two need ``pip install xbce[testing]``.

A ``conftest.py`` adds libraries by their namespaces, and variants of those that are known. Devices
are names that ``xp.Device`` or ``xp.device`` takes, or ``device=`` where there is neither; by
default there is but one. Dtypes are by default float32 and float64::

    def pytest_xbce_libraries():
        return {
            "mparray": {"namespace": "mparray", "dtypes": ["float64"]},
            "torch-mps": {"namespace": "array_api_compat.torch", "devices": ["mps"]},
        }
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from xbce.testing._drawn import check_name, name_for, not_drawn
from xbce.testing._variants import Variant

pytest_plugins = ["xbce.testing._plugin"]


@pytest.fixture
def xp(request: pytest.FixtureRequest, _xbce_xp: Variant | None) -> Iterator[Any]:
    """Give the array namespace of each library.

    Parameters
    ----------
    request : pytest.FixtureRequest
        The test that asks.
    _xbce_xp : Variant or None
        The library and its variant.

    Yields
    ------
    module
        Such as ``array_api_compat.torch`` or ``jax.numpy``: it follows the array API standard.

    See Also
    --------
    array : Makes an array of it.

    Notes
    -----
    It has the scope of a function: a fixture of the scope of a module can not take it. Such a one
    can make numbers, of which a test makes arrays.

    Examples
    --------
    ::

        def test_log1p(xp):
            assert xp.log1p(xp.zeros(3)).shape == (3,)
    """
    if _xbce_xp is None:
        pytest.fail(not_drawn(request), pytrace=False)
    with ExitStack() as stack:
        namespace = _xbce_xp.namespace()
        stack.enter_context(_xbce_xp.enter())
        if _xbce_xp.transform:
            from array_api_extra.testing import patch_lazy_xp_functions

            stack.enter_context(patch_lazy_xp_functions(request, xp=namespace))
        yield namespace


@pytest.fixture
def device(request: pytest.FixtureRequest, xp: Any, _xbce_device: str | None) -> Any:
    """Give each of the library's devices.

    Parameters
    ----------
    request : pytest.FixtureRequest
        The test that asks.
    xp : module
        The library.
    _xbce_device : str or None
        The name of the device.

    Returns
    -------
    device or None
        What functions of `xp` take as ``device=``: None where there is but one.

    See Also
    --------
    array : Makes an array there.

    Examples
    --------
    ::

        def test_stays_there(xp, device):
            assert xp.exp(xp.ones(3, device=device)).shape == (3,)
    """
    name = name_for(request, _xbce_device)
    if name is None:
        return None
    variant = request.getfixturevalue("_xbce_xp")  # None where xp is the project's own
    if variant is not None:
        check_name(request, name, variant.name, variant.devices, "device")
    if xp.__name__.endswith("cupy"):
        return None
    make = getattr(xp, "Device", None) or getattr(xp, "device", None)
    return make(name) if make else name


@pytest.fixture
def dtype(request: pytest.FixtureRequest, xp: Any, _xbce_dtype: str | None) -> Any:
    """Give each of the library's floating dtypes.

    Parameters
    ----------
    request : pytest.FixtureRequest
        The test that asks.
    xp : module
        The library.
    _xbce_dtype : str or None
        The name of the dtype.

    Returns
    -------
    dtype
        Such as ``xp.float32``; float16 and bfloat16 are among them where the library has them.

    See Also
    --------
    array : Makes an array of it.

    Examples
    --------
    ::

        def test_keeps_the_dtype(xp, dtype):
            assert xp.exp(xp.ones(3, dtype=dtype)).dtype == dtype
    """
    name = name_for(request, _xbce_dtype)
    if name is None:
        pytest.fail(not_drawn(request), pytrace=False)
    variant = request.getfixturevalue("_xbce_xp")  # None where xp is the project's own
    library, has = xp.__name__, {*dir(xp), *dir(np)}
    if variant is not None:
        library, has = variant.name, variant.floating
    check_name(request, name, library, has, "floating dtype")
    # Dask takes NumPy's dtypes, but names only the standard's.
    return getattr(xp, name, None) or getattr(np, name)


@pytest.fixture
def array(xp: Any, device: Any) -> Callable[..., Any]:
    """Give a function that makes arrays of each library.

    Parameters
    ----------
    xp : module
        The library.
    device : device or None
        Where the arrays are to be.

    Returns
    -------
    callable
        ``array(values, dtype=xp.float32)``. Arrays of Dask are in chunks of two elements an axis.

    See Also
    --------
    xbce.testing.as_numpy : The numbers of an array of any library, in NumPy.

    Examples
    --------
    ::

        def test_sum(xp, array):
            assert float(xp.sum(array([1.0, 2.0]))) == 3
    """

    def make(values: Any, dtype: Any = xp.float32) -> Any:
        made = xp.asarray(values, dtype=dtype, device=device)
        return made.rechunk(2) if hasattr(made, "rechunk") else made

    return make
