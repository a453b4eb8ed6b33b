"""The tables of docs/accuracy.md and docs/reductions.md, made of what docs/peers.py measured."""

import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parent
DTYPES = ("float32", "float64")
QUANTITIES = ("loss", "gradient")
TITLES = [f"{quantity}, {dtype}" for quantity in QUANTITIES for dtype in DTYPES]

# --- errors ---------------------------------------------------------------------


def plain(libraries: dict[str, Any]) -> str:
    """The largest errors of sigmoid cross entropy, and what came of infinite logits."""
    head = ["library", *TITLES, *(f"{quantity} at ±inf" for quantity in QUANTITIES)]
    rows = []
    for name, found in of_loss(libraries, "sigmoid"):
        verdicts = [at_infinity(found, quantity) for quantity in QUANTITIES]
        rows.append([f"{name} ({versions(found)})", *largest(found), *verdicts])
    return markdown(head, ["---", *["---:"] * 4, "---", "---"], rows)


def others(libraries: dict[str, Any]) -> str:
    """The largest errors of the softmax and focal losses, and which special values are wrong."""
    rows = []
    for kind in ("softmax", "sparse", "focal"):
        for name, found in of_loss(libraries, kind):
            errors = [""] * 4 if "raises" in found else largest(found)
            wrong = found.get("raises") or "; ".join(found["wrong of"]) or "none"
            rows.append([name, *errors, wrong])
    return markdown(["loss", *TITLES, "wrong"], ["---", *["---:"] * 4, "---"], rows)


def of_loss(libraries: dict[str, Any], loss: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What was measured of one loss."""
    for name, found in libraries.items():
        if "skipped" not in found and found["loss"] == loss:
            yield name, found


def versions(found: dict[str, Any]) -> str:
    """The packages of a library."""
    return ", ".join(f"{name} {version}" for name, version in found["versions"].items())


def largest(found: dict[str, Any]) -> list[str]:
    """The largest error of each quantity and dtype, over the regions."""
    errors = []
    for quantity in QUANTITIES:
        for dtype in DTYPES:
            regions = found.get(dtype, {}).get(quantity, {}).values()
            worst = max((float(error) for error, _ in regions), default=None)
            errors.append("" if worst is None else ulps(worst))
    return errors


def at_infinity(found: dict[str, Any], quantity: str) -> str:
    """Whether infinite logits came out right; what came, where not."""
    if not any(quantity in found.get(dtype, {}) for dtype in DTYPES):
        return ""
    wrong = " ".join(w for w in found["wrong"] if f" {quantity}," in w and "inf: got" in w)
    if not wrong:
        return "right"
    got = re.search(r"got (\S+), should be (\S+)", wrong)
    return "NaN" if "got nan" in wrong or not got else "{}, not {}".format(*got.groups())


def ulps(error: float) -> str:
    """To two digits: 0.5, 31.2, 9.0e15."""
    if error == float("inf"):
        return "inf"
    return f"{error:.1f}" if error < 1000 else f"{error:.1e}".replace("+0", "").replace("+", "")


# --- reductions -----------------------------------------------------------------

MEMBERS = {
    "none": ("`NONE`", "not reduced"),
    "weighted_sum": ("`SUM`", "sum"),
    "weighted_mean": ("`MEAN`", "sum / sum of the weights"),
    "weighted_sum_over_batch_size": ("`SUM_OVER_BATCH_SIZE`", "sum / number of all elements"),
    "weighted_sum_by_nonzero_weights": (
        "`SUM_BY_NONZERO_WEIGHTS`",
        "sum / number of weights that are not 0",
    ),
}
MASKED = {"weighted_sum_over_batch_size": "sum / number of elements kept"}
WORDS = (  # rule, what is in its finding, in words
    ("all left out gives 0", "nan", "all left out gives NaN"),
    ("weights that are all 0", "nan", "weights that are all 0 give NaN"),
    ("weights that are all 0", "Error", "weights that are all 0 are an error"),
    ("a negative weight", "got", "negative weights count otherwise"),
    (
        "what a mask leaves out may be anything",
        "nan",
        "infinity or NaN that is left out makes the loss NaN",
    ),
    (
        "what a mask leaves out changes no gradient",
        "nan",
        "what is left out may get a gradient of NaN",
    ),
    ("what a mask leaves out changes no gradient", "got", "what is left out changes the gradient"),
    ("leaving rows out", "got nan", "a row with nothing left is NaN"),
    ("leaving rows out", "got", "a row with nothing left is counted"),
    ("a long batch is summed", "got", "a long sum in float32 is off by {off}"),
    ("the gradient is that", "'float' object", "the result is a number, without a gradient"),
    ("the result has the dtype", "float32, not float64", "float64 comes back as float32"),
    ("the result has the dtype", "float64, not float32", "float32 comes back as float64"),
)
FOLLOWS = (  # from another reduction than the one that is named
    "it is the reduction that it says",
    "weights multiply the losses, and count as the reduction says",
    "a mask leaves elements out of the sum and of the denominator",
    "a mask leaves out weights too",
    "the gradient is that of the reduction",
    "a batch split in two adds up",
    "a negative weight counts as what it is, or is an error",
    "a long batch is summed as exactly as a short one",
)


def translation(reductions: dict[str, Any]) -> str:
    """What each call is in xbce; the backends of Keras, which are alike in this, in one row."""
    rows: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for name, call in calls(reductions):
        family = "Keras" if name.startswith("Keras") else name
        key = (family, f"`{call['call']}`", meant(call), divided(call))
        rows.setdefault(key, {})[name] = differences(call)
    listed = [[*key, together(found)] for key, found in rows.items()]
    head = ["library", "call", "in xbce", "what it is", "what differs"]
    return markdown(head, ["---"] * 5, listed)


def broken(reductions: dict[str, Any]) -> str:
    """How many rules each call breaks, and which."""
    rows = []
    for name, call in calls(reductions):
        counts, rules = [], {}
        for dtype in DTYPES:
            found = call.get(dtype)
            counts.append(f"{found['number']} of {found['rules']}" if found else "")
            for rule in found["broken"] if found else ():
                rules.setdefault(rule, []).append(dtype)
        only = {rule: "" if len(of) == 2 else f" ({of[0]})" for rule, of in rules.items()}
        listed = [f"{rule}{only[rule]}" for rule in rules]
        listed += ["the digits of float64"] if narrow(call) else []
        rows.append([name, f"`{call['call']}`", *counts, "; ".join(listed)])
    head = ["library", "call", "float32", "float64", "rules that are broken"]
    return markdown(head, ["---", "---", "---:", "---:", "---"], rows)


def calls(reductions: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each call of each library that was there."""
    for name, found in reductions.items():
        for call in found.get("calls", ()):
            yield name, call


def narrow(call: dict[str, Any]) -> bool:
    """Whether float64 is right to the digits of float32 only."""
    return call.get("float64", {}).get("digits") == "float32"


def meant(call: dict[str, Any]) -> str:
    """The reduction of xbce, and the arguments beside it."""
    if not call["is"]:
        return f"none of them; nearest to {MEMBERS[call['nearest']][0]}"
    options = call["options"]
    arguments = [f"`{name}=a`" for name in ("label_smoothing",) if name in options]
    arguments += ["`pos_weight=3`"] if "pos_weight" in options else []
    if "class_weights" in options:
        arguments.append("`weights=c[labels]`")
    mask = "k" if "shapes" in options else "m"
    taken = {"weights": "`weights=w`", "where": f"`where={mask}`"}
    arguments += [taken[name] for name in call["takes"]]
    names = [MEMBERS[name][0] for name in call["is"]]
    reduction = "any mean" if len(names) == 3 else " or ".join(names)
    if options.get("axis") == -1:
        reduction += " of each row"
    return ", ".join([reduction, *arguments])


def divided(call: dict[str, Any]) -> str:
    """What the sum is divided by, in words."""
    named = [text for text in call["float32"]["diagnoses"] if text.startswith("this is the")]
    if named and not call["is"]:
        text = named[0].partition(",")[0].removeprefix("this is the ")
        return text.replace("sum over the number", "sum / number")
    first = [*call["is"], call["nearest"]][0]
    words = MASKED.get(first) if "where" in call["takes"] else None
    words = words or MEMBERS[first][1]
    return (
        words.replace("all elements", "elements in the row")
        if call["options"].get("axis")
        else words
    )


def differences(call: dict[str, Any]) -> list[str]:
    """What differs from xbce, in words."""
    return list(dict.fromkeys(_differences(call)))


def _differences(call: dict[str, Any]) -> Iterator[str]:
    if narrow(call):
        yield "float64 has the digits of float32"
    if not call["stretched"]:
        yield "weights that are stretched are summed as they are given"
    for dtype in DTYPES:
        found = call.get(dtype, {"broken": {}, "diagnoses": []})
        yield from (text for text in found["diagnoses"] if text.startswith(("class", "labels")))
        for rule, (how, _) in found["broken"].items():
            words = said(rule, how)
            if words and (call["is"] or rule not in FOLLOWS):
                yield words
            elif rule not in FOLLOWS:
                yield f"{rule}: {how}"


def said(rule: str, how: str) -> str:
    """What breaks a rule, in words; nothing where there are none for it."""
    for start, part, words in WORDS:
        if rule.startswith(start) and part in how:
            return words.format(off=off_by(how))
    return ""


def off_by(how: str) -> str:
    """The relative error of a finding."""
    numbers = re.findall(r"-?\d+(?:\.\d*)?(?:e[-+]?\d+)?", how)
    if len(numbers) != 2:
        return how
    got, wanted = map(float, numbers)
    if wanted == 0:
        return how
    return f"{abs(got / wanted - 1):.0e}".replace("e-0", "e-")


def together(found: dict[str, list[str]]) -> str:
    """Differences of several backends: those of all, and those of some by name."""
    words = dict.fromkeys(text for listed in found.values() for text in listed)
    parts = []
    for text in words:
        of = [name.removeprefix("Keras on ") for name, listed in found.items() if text in listed]
        parts.append(text if len(of) == len(found) else f"on {' and '.join(of)} {text}")
    return "; ".join(parts)


# --- pages ----------------------------------------------------------------------


def all_of(libraries: dict[str, Any], reductions: dict[str, Any]) -> dict[str, list[str]]:
    """The tables of each page."""
    return {
        "accuracy.md": [plain(libraries), others(libraries)],
        "reductions.md": [translation(reductions), broken(reductions)],
    }


def markdown(head: list[str], lines: list[str], rows: Iterable[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, lines, *rows))


def measured(results: dict[str, Any]) -> str:
    """When, where and of which versions the tables are, wrapped as the pages are."""
    everything = [*results["libraries"].values(), *results["reductions"].values()]
    packages = dict(results["versions"])
    for found in everything:
        packages |= found.get("versions", {})
    python = packages.pop("python")
    listed = ", ".join(f"{name} {packages[name]}" for name in sorted(packages))
    where = f"on {results['date']} on an {results['machine']}, with Python {python}"
    text = f"Measured {where}: {listed}."
    return textwrap.fill(text, 110, break_on_hyphens=False, break_long_words=False)


def put_measured(page: str, text: str) -> None:
    """Write that into a page, in the place of the paragraph that begins alike."""
    file = PAGES / page
    changed, number = re.subn(
        r"^Measured on .*(?:\n.+)*", lambda _: text, file.read_text("utf-8"), flags=re.MULTILINE
    )
    if number != 1:
        raise ValueError(f"{page} has {number} paragraphs that say when it was measured")
    file.write_text(changed, "utf-8")


def put(page: str, table: str) -> None:
    """Write a table into a page, in the place of the one with the same first line."""
    file = PAGES / page
    text = file.read_text("utf-8")
    first = re.escape(table.partition("\n")[0])
    changed, number = re.subn(rf"{first}\n(?:\|.*\n)*", lambda _: table + "\n", text)
    if number != 1:
        raise ValueError(f"{page} has {number} tables that begin with {table[:60]!r}")
    file.write_text(changed, "utf-8")
