"""All checks: ``nox`` runs what a pull request needs, ``nox -l`` lists the rest."""

import glob
import os
import shutil
import sys
import tempfile

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = False  # they skip by name
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = ["3.11", "3.12", "3.13"]
TORCH = "torch==2.13.0"
TEST = nox.project.dependency_groups(PROJECT, "test")
ONCE = (
    "audit*",
    "fixtures*",
    "peers_page",
    "report",
    "strategies*",
    "tutorial",
    "vectors",
    "wrong_class*",
    "wrong_losses",
)
"""Tests of the test kit, which depend little on the Python and on NumPy: one session runs them.

On JAX, where XLA compiles each shape, `nox -s thorough` does.
"""
PARALLEL = ("-n", "auto", "--maxprocesses", "8")
CUPY = {  # and what it compiles its kernels with
    "newest": ("cupy-cuda13x", nox.project.dependency_groups(PROJECT, "emulator")),
    "oldest": ("cupy-cuda12x==13.4.0", nox.project.dependency_groups(PROJECT, "emulator-cuda12")),
}

# pyenv keeps Pythons where no PATH leads; python3.12 there is as good as any.
for python in PYTHONS:
    for folder in sorted(glob.glob(os.path.expanduser(f"~/.pyenv/versions/{python}.*/bin"))):
        os.environ["PATH"] += os.pathsep + folder


def run_tests(session: nox.Session, *arguments: str) -> None:
    """Run pytest on the checkout, with the arguments after ``--`` if there are any."""
    session.run("pytest", *PARALLEL, *arguments, *session.posargs)


def without_kit() -> list[str]:
    """What leaves out the tests of the test kit."""
    return [f"--ignore-glob=*/test_{name}.py" for name in ONCE]


def check_backend(session: nox.Session, backend: str, *requirements: str) -> None:
    """Install a backend and run all tests of it."""
    session.install(*requirements, *TEST, "-e", ".")
    run_tests(session, "--backend", backend)


def run_beside_peers(session: nox.Session, script: str) -> None:
    """Run a script where the libraries that xbce is compared with are installed."""
    session.install("-q", TORCH, *nox.project.dependency_groups(PROJECT, "peers"), "-e", ".")
    session.run("python", script, *session.posargs)


@nox.session(python=PYTHONS)
def numpy(session: nox.Session) -> None:
    """NumPy, on every supported Python."""
    session.install(*TEST, "-e", ".")
    rest = [] if session.python == PYTHONS[0] else without_kit()
    run_tests(session, "--backend", "numpy", *rest)


@nox.session
def strict(session: nox.Session) -> None:
    """array-api-strict, on devices of its own, one without float64 among them."""
    session.install(*TEST, "-e", ".")
    run_tests(session, "--backend", "strict", "--backend", "strict-no-float64")


@nox.session
def strictest(session: nox.Session) -> None:
    """array-api-strict without boolean indexing, data-dependent shapes and extensions."""
    check_backend(session, "strictest")


@nox.session
def torch(session: nox.Session) -> None:
    """PyTorch, on the CPU, and on CUDA where there is a GPU; losses of scikit-learn."""
    check_backend(session, "torch", TORCH, "scikit-learn")


@nox.session
def jax(session: nox.Session) -> None:
    """JAX: eager, jitted, and with 64 bits switched off; losses of optax."""
    session.install("jax", "optax", *TEST, "-e", ".")
    # Tests share what XLA has compiled: in memory each jitted function has its own.
    session.env["JAX_COMPILATION_CACHE_DIR"] = f"{session.virtualenv.location}/compiled"
    session.env["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    session.env["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    run_tests(session, "--backend", "jax", *without_kit())


@nox.session
def dask(session: nox.Session) -> None:
    """Dask, where nothing may compute inside a call, and Cubed, which has no row in the table."""
    check_backend(session, "dask", "dask[array]", "cubed")


@nox.session
@nox.parametrize("release", ["newest", "oldest"])
def cupy(session: nox.Session, release: str) -> None:
    """CuPy on a GPU, PyTorch on CUDA beside it; where there is none, CuPy on an emulator."""
    on_gpu = bool(glob.glob("/dev/nvidia[0-9]*"))
    if not on_gpu and (sys.platform != "linux" or not shutil.which("gcc")):
        session.skip("no NVIDIA GPU here, and no Linux with gcc for the emulator")
    chosen, toolkit = CUPY[release]
    session.install(chosen, *toolkit, "dask[array]", *TEST, "-e", ".")
    if on_gpu:
        session.install(TORCH)
        on_cuda = ("--backend", "cupy", "--backend", "torch-cuda", "-k", "cupy or cuda")
        run_tests(session, *on_cuda, "-n", "0")
        return
    names = [""] if release == "newest" else ["accuracy", "emulator", "engine_cupy", "reductions"]
    tests = [file for name in names for file in sorted(glob.glob(f"tests/test_{name}*.py"))]
    run_tests(session, "--backend", "cupy", "-k", "cupy or emulator", *tests)


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """The oldest NumPy and array-api-compat that pyproject.toml allows."""
    oldest = [spec.replace(">=", "==") for spec in PROJECT["project"]["dependencies"]]
    session.install("-e", ".", *TEST, *oldest)
    run_tests(session, "--backend", "numpy", *without_kit())


@nox.session
def lint(session: nox.Session) -> None:
    """Style, docstrings, and what a linter can find."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("numpydoc", "lint", *sorted(glob.glob("xbce/**/*.py", recursive=True)))


@nox.session
def docs(session: nox.Session) -> None:
    """The examples in the docs that are tests."""
    session.install(TORCH, "jax", *TEST, "-e", ".")
    session.run("pytest", "--doctest-glob=*.md", "docs/masks.md", "docs/examples/test_losses.py")


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    session.install(*nox.project.dependency_groups(PROJECT, "types"), ".")
    session.run("mypy")


@nox.session
def package(session: nox.Session) -> None:
    """The wheel, built, installed where nothing else is, and imported from there."""
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", folder, silent=True)
        session.run("python", "-m", "venv", f"{folder}/empty")
        python = f"{folder}/empty/bin/python"
        wheels = glob.glob(f"{folder}/*.whl")
        session.run(python, "-m", "pip", "install", "-q", *wheels, external=True)
        session.chdir(folder)
        code = (
            "import importlib.resources as r, numpy as np, xbce;"
            "assert (r.files('xbce') / 'py.typed').is_file();"
            "print(xbce.__version__, xbce.sigmoid_cross_entropy(np.ones(2), np.zeros(2)))"
        )
        session.run(python, "-c", code, external=True)


@nox.session(default=False)
def thorough(session: nox.Session) -> None:
    """Every promise of accuracy, on millions of values, and the tests of the kit on JAX."""
    session.install(TORCH, "jax", "dask[array]", *TEST, "-e", ".")
    run_tests(session, "tests/test_accuracy.py", "--thorough", "-n", "0")
    kit = [file for name in ONCE for file in sorted(glob.glob(f"tests/test_{name}.py"))]
    run_tests(session, "--backend", "jax", *kit)


@nox.session(default=False)
def digits(session: nox.Session) -> None:
    """The main example: train on handwritten digits; ``-- --backend torch`` for another library."""
    libraries = {"torch": TORCH, "jax": "jax", "dask": "dask[array]", "cupy": "cupy-cuda13x"}
    chosen = [libraries[word] for word in session.posargs if word in libraries]
    session.install("-q", *chosen, *nox.project.dependency_groups(PROJECT, "example"), "-e", ".")
    session.run("python", "docs/examples/train_digits.py", *session.posargs)


@nox.session(default=False)
def clients(session: nox.Session) -> None:
    """What others build on xbce: boosters, SciPy, Keras, training loops; the pages on porting."""
    session.install(TORCH, *nox.project.dependency_groups(PROJECT, "clients"), *TEST, "-e", ".")
    run_tests(session, "tests/clients")
    for page in sorted(glob.glob("docs/porting/*.md")):  # Keras has one backend a process
        session.run("pytest", "--doctest-glob=*.md", page)


@nox.session(default=False)
def peers(session: nox.Session) -> None:
    """Audit xbce beside other libraries: figures of docs/accuracy.md and docs/reductions.md."""
    run_beside_peers(session, "docs/peers.py")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time xbce beside others, a quarter of an hour; ``-- --only pairs`` for the ratios alone."""
    run_beside_peers(session, "tests/benchmarks/speed.py")
