"""The pages on other libraries say what was measured last: their tables are made of its results."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend("numpy")

DOCS = Path(__file__).parent.parent / "docs"
sys.path.append(str(DOCS))
peer_tables = import_module("peer_tables")

RESULTS = json.loads((DOCS / "results" / "peers.json").read_text("utf-8"))
TABLES = peer_tables.all_of(RESULTS["libraries"], RESULTS["reductions"])
PAGES = {page: (DOCS / page).read_text("utf-8") for page in TABLES}


@pytest.mark.parametrize("page", TABLES)
def test_a_page_has_the_tables_of_the_results(page):
    for table in TABLES[page]:
        assert f"\n\n{table}\n\n" in PAGES[page]


@pytest.mark.parametrize("page", TABLES)
def test_a_page_has_the_versions_of_the_results(page):
    assert f"\n\n{peer_tables.measured(RESULTS)}" in PAGES[page]


def test_no_library_was_left_out():
    found = RESULTS["libraries"] | RESULTS["reductions"]
    assert [name for name, result in found.items() if "skipped" in result] == []


def test_a_table_is_put_where_the_one_with_its_head_is(tmp_path, monkeypatch):
    monkeypatch.setattr(peer_tables, "PAGES", tmp_path)
    (tmp_path / "page.md").write_text("A\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\nB\n")
    table = peer_tables.markdown(["a", "b"], ["---", "---"], [["3", "4"], ["5", "6"]])
    peer_tables.put("page.md", table)
    assert (tmp_path / "page.md").read_text() == f"A\n\n{table}\n\nB\n"
    with pytest.raises(ValueError, match="has 0 tables that begin with"):
        peer_tables.put("page.md", "| c | d |\n")


@pytest.mark.parametrize(
    ("how", "words"), [("got 1.5, should be 1.0", "5e-1"), ("got nan, should be 0.", "")]
)
def test_how_far_a_long_sum_is_off(how, words):
    assert peer_tables.off_by(how) == (words or how)


# What the pages say in words, which a new run may make untrue.

LIBRARIES, DTYPES = RESULTS["libraries"], ("float32", "float64")


def largest(name, dtype, quantity="loss", region=""):
    found = LIBRARIES[name][dtype][quantity]
    return max(float(error) for title, (error, _) in found.items() if region in title)


def test_no_loss_is_off_by_more_than_3_ulp_where_labels_disagree():
    for name, found in LIBRARIES.items():
        for dtype in DTYPES:
            has_loss = found["loss"] == "sigmoid" and "loss" in found.get(dtype, {})
            if has_loss and (name, dtype) not in FLOAT32_ONLY:
                assert largest(name, dtype, region="disagreeing") <= 3, (name, dtype)


FLOAT32_ONLY = {("Keras on PyTorch", "float64"), ("Keras on JAX", "float64")}


@pytest.mark.parametrize(("name", "dtype"), sorted(FLOAT32_ONLY))
def test_where_keras_in_float64_is_infinite(name, dtype):
    assert largest(name, dtype, region="huge") == float("inf")


@pytest.mark.parametrize("base", ["PyTorch", "TensorFlow", "JAX"])
def test_keras_has_the_figures_of_its_library_in_float32(base):
    library = {"JAX": "optax"}.get(base, base)
    assert LIBRARIES[f"Keras on {base}"]["float32"] == LIBRARIES[library]["float32"]


def test_what_compilers_change():
    for dtype in DTYPES:
        assert LIBRARIES["PyTorch, compiled"][dtype] == LIBRARIES["PyTorch"][dtype]
        optax = [largest(name, dtype) for name in ("optax", "optax, compiled")]
        assert optax[0] == pytest.approx(optax[1], rel=0.1)
        assert largest("TensorFlow", dtype, region="soft") > 1e5
        assert largest("TensorFlow, compiled", dtype) < 4


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_which_lines_of_the_plots_stay_below_4_ulp(kind):
    low = ["xbce on NumPy", "xbce on PyTorch", "xbce on JAX", "optax", "SciPy log_expit"]
    low += ["TensorFlow"] if kind == "hard" else []
    for name, dtype in ((name, dtype) for name in low for dtype in DTYPES):
        lines = LIBRARIES[name]["curves"][f"{kind} {dtype}"]
        assert max(float(error) for line in lines for error in line) < 4, (name, dtype)


def reduced(library, start):
    """The calls of a library that begin so."""
    found = [c for c in RESULTS["reductions"][library]["calls"] if c["call"].startswith(start)]
    assert found
    return found


@pytest.mark.parametrize(
    ("library", "call"),
    [
        ("PyTorch", 'binary_cross_entropy_with_logits(weight=w, reduction="mean")'),
        ("Keras on JAX", "BinaryCrossentropy(reduction='sum_over_batch_size')(z, x, w)"),
        ("Keras on TensorFlow", "SparseCategoricalCrossentropy()(z, x, w)"),
    ],
)
def test_means_that_are_over_all_elements(library, call):
    assert reduced(library, call)[0]["is"] == ["weighted_sum_over_batch_size"]


def test_which_classes_weigh_in_the_denominator():
    assert reduced("PyTorch", "cross_entropy(ignore_index=i, weight=c)")[0]["is"] == [
        "weighted_mean"
    ]
    of_rows = reduced("PyTorch", "cross_entropy(weight=c) of probabilities")[0]
    assert "weighted_sum_over_batch_size" in of_rows["is"]
    (terms,) = reduced("PyTorch", "cross_entropy(ignore_index=i, weight=c, label_smoothing=a)")
    assert terms["is"] == []
    assert terms["float32"]["diagnoses"][0].startswith("class weights multiply each class's term")


def test_what_is_divided_by_another_number():
    for name in ("Keras on PyTorch", "Keras on TensorFlow", "Keras on JAX"):
        summed = reduced(name, "BinaryCrossentropy(reduction='sum')(z, x), the last axis longer")
        assert peer_tables.divided(summed[0]) == "sum / number of columns"
        weighed = reduced(name, "BinaryCrossentropy(reduction='mean_with_sample_weight')")
        assert not weighed[0]["stretched"]
    assert peer_tables.divided(reduced("TensorFlow", "nn.comp")[0]) == "sum / number of rows"


def test_what_masks_do():
    empty = "all left out gives 0, with a gradient of 0"
    for call in reduced("PyTorch", "(losses*mask)") + reduced("optax", "jnp.mean"):
        assert empty in call["float32"]["broken"]
    for name in ("Keras on TensorFlow", "Keras on JAX"):
        (ignoring,) = reduced(name, "SparseCategoricalCrossentropy(ignore_class")
        assert [ignoring[dtype]["number"] for dtype in DTYPES] == [0, 0]


def test_what_masks_of_classes_do():
    numbers, probabilities = reduced("PyTorch", "cross_entropy(x.masked_fill")
    assert "weighted_sum_over_batch_size" in numbers["is"]
    assert probabilities["is"] == []
    assert "labels of 0 multiply logarithms of 0" in str(probabilities["float32"]["diagnoses"])
    for call in reduced("optax", "softmax"):
        assert "weighted_sum_over_batch_size" in call["is"]
        assert set(call["float32"]["broken"]) == {"leaving rows out is not having them"}


def test_which_long_sums_keep_their_digits():
    long = "a long batch is summed as exactly as a short one"
    eager = reduced("PyTorch", "binary") + reduced("TensorFlow", "reduce") + reduced("optax", "j")
    assert not any(long in call["float32"]["broken"] for call in eager)
    for library, start, off in (("PyTorch", "torch.c", "2e-5"), ("TensorFlow", "tf.f", "3e-5")):
        how, _ = reduced(library, start)[0]["float32"]["broken"][long]
        assert peer_tables.off_by(how) == off


def test_which_float64_has_the_digits_of_float32():
    assert all(peer_tables.narrow(call) for call in reduced("TensorFlow", "v1"))
    assert any(peer_tables.narrow(call) for call in reduced("Keras on PyTorch", ""))
    assert any(peer_tables.narrow(call) for call in reduced("Keras on JAX", ""))
    assert not any(peer_tables.narrow(call) for call in reduced("Keras on TensorFlow", ""))


def test_softmax_losses_of_others_lose_every_digit_of_a_certain_class():
    found = {n: f for n, f in LIBRARIES.items() if f["loss"] in ("softmax", "sparse")}
    others = [name for name in found if not name.startswith("xbce")]
    assert len(others) == 10
    for name in others:
        for quantity in ("loss", "gradient"):
            assert largest(name, "float32", quantity, "hard") > 2**23, name
