"""Finds the row in the table of instructions that an opcode matches."""

from dataclasses import dataclass
from functools import cache

from emulator.instructions import SETS, STATEMENTS, TABLE, WIDE


@dataclass(frozen=True)
class Rule:
    """What an opcode becomes: operands and C of a row in the table, or else a method."""

    words: dict[str, str]
    flags: frozenset[str]
    operands: tuple[str, ...] = ()
    c: str = ""
    method: str | None = None


@cache
def find(opcode: str) -> Rule:
    """The rule of an opcode.

    Raises
    ------
    NotImplementedError
        If there is none, be it for one of its modifiers.
    """
    head, *words = opcode.split(".")
    for pattern, operands, c in reversed(TABLE):  # later rows are special cases of earlier ones
        if found := _match(pattern, head, words):
            types = tuple(_resolve(kind, found[0]) for kind in operands.split())
            return Rule(*found, types, c)
    for pattern, method in STATEMENTS:
        if found := _match(pattern, head, words):
            return Rule(*found, method=method)
    raise NotImplementedError(f"PTX: `{opcode}` is not in tests/emulator/instructions.py.")


def _match(
    pattern: str, head: str, words: list[str]
) -> tuple[dict[str, str], frozenset[str]] | None:
    first, *parts = pattern.split(".")
    if first != head:
        return None
    found, flags, rest = {}, set(), list(words)
    for part in parts:
        name, _, set_name = part.rstrip("?").partition("=")
        allowed = SETS[set_name] if set_name else (name,)
        if rest and rest[0] in allowed:
            word = rest.pop(0)
            if set_name:
                found[name] = word
            else:
                flags.add(word)
        elif not part.endswith("?"):
            return None
        elif set_name == "round":
            found[name] = "rn"
    if rest:
        return None
    if found.get("T") in WIDE:
        found["W"] = WIDE[found["T"]]
    return found, frozenset(flags)


def _resolve(kind: str, words: dict[str, str]) -> str:
    return "|".join(words.get(name, name) for name in kind.split("|"))
