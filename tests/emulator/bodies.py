"""The body of a function of PTX as C, statement by statement."""

from collections.abc import Iterable
from string import Template

from emulator.instructions import WORDS
from emulator.ptx import (
    Address,
    Arguments,
    Block,
    BranchTargets,
    Function,
    Instruction,
    Label,
    Operand,
    Registers,
    Statement,
    Variable,
    Vector,
)
from emulator.rules import find
from emulator.variables import SIZES, Shared, align, c_name, size

SPECIAL = {f"%{name}.{axis}": f"t->{name}[{i}]" for name in ("tid", "ntid", "ctaid", "nctaid")
           for i, axis in enumerate("xyz")}  # fmt: skip
SPECIAL |= {
    "%laneid": "t->laneid",
    "%lanemask_eq": "(1u << t->laneid)",
    "%lanemask_lt": "((1u << t->laneid) - 1)",
    "%lanemask_le": "((2u << t->laneid) - 1)",
    "%lanemask_gt": "~((2u << t->laneid) - 1)",
    "%lanemask_ge": "~((1u << t->laneid) - 1)",
    "WARP_SZ": "32",
}


class _Scope:
    """What a block declares, and the name each has in C."""

    def __init__(self, block: Block, number: int) -> None:
        end = f"_{number}" if number else ""
        self.registers: dict[str, str] = {}
        self.variables: dict[str, Variable] = {}
        self.targets: dict[str, tuple[str, ...]] = {}
        self.labels: dict[str, str] = {}
        self.names: dict[str, str] = {}
        for statement in block.statements:
            if isinstance(statement, Registers):
                self.registers |= dict.fromkeys(statement.names, statement.type)
                self.names |= {name: c_name(name) + end for name in statement.names}
            elif isinstance(statement, Variable):
                self.variables[statement.name] = statement
                self.names[statement.name] = c_name(statement.name) + end
            elif isinstance(statement, Label):
                self.labels[statement.name] = c_name(statement.name) + end
            elif isinstance(statement, BranchTargets):
                self.targets[statement.name] = statement.labels


class Body:
    """The body of one function."""

    def __init__(
        self, function: Function, names: dict[str, Variable], shared: Shared, called: set[str]
    ) -> None:
        self.function, self.called = function, called
        self.globals, self.shared = names, shared
        if function.entry:
            given = enumerate(v.name for v in function.parameters)
            self.parameters = {name: f"parameters[{i}]" for i, name in given}
        else:
            both = (*function.results, *function.parameters)
            self.parameters = {variable.name: c_name(variable.name) for variable in both}
        self.scopes: list[_Scope] = []
        self.blocks = 0
        self.declared: list[str] = []
        self.rule = find("ret")
        self.operands: tuple[Operand, ...] = ()

    def text(self) -> str:
        """Declarations, then statements."""
        written = self.block(self.function.body)
        return "\n".join(["pred carry = 0, second = 0;", *self.declared, written, "end: return;"])

    def block(self, block: Block) -> str:
        scope = _Scope(block, self.blocks)
        self.blocks += 1
        self.scopes.append(scope)
        self.declare(scope)
        written = [self.statement(statement) for statement in block.statements]
        self.scopes.pop()
        return "\n".join(filter(None, written))

    def declare(self, scope: _Scope) -> None:
        for name, kind in scope.registers.items():
            unsigned = "pred" if kind == "pred" else f"b{8 * self.size(kind)}"
            self.declared.append(f"{unsigned} {scope.names[name]} = 0;")
        for name, variable in scope.variables.items():
            if variable.space != "shared":
                aligned = f"__attribute__((aligned({align(variable)})))"
                self.declared.append(f"char {scope.names[name]}[{size(variable)}] {aligned};")

    def statement(self, statement: Statement) -> str:
        if isinstance(statement, Block):
            return self.block(statement)
        if isinstance(statement, Label):
            return f"{self.scopes[-1].labels[statement.name]}:;"
        if not isinstance(statement, Instruction):
            return ""
        self.rule, self.operands = find(statement.opcode), statement.operands
        if self.rule.method:
            written = getattr(self, self.rule.method)()
        else:
            written = self.expression(statement)
        return (
            f"if ({self.read(statement.guard, 'pred')}) {{{written}}}"
            if statement.guard
            else written
        )

    # --- operands

    def size(self, kind: str) -> int:
        if kind not in SIZES:
            raise NotImplementedError(f"PTX: the type .{kind} is not in tests/emulator.")
        return SIZES[kind]

    def look_up(self, table: str, name: str) -> str | None:
        found = (getattr(scope, table).get(name) for scope in reversed(self.scopes))
        return next(filter(None, found), None)

    def read(self, operand: Operand, kind: str) -> str:
        """The value of an operand, as a type."""
        if not isinstance(operand, str):
            raise NotImplementedError(f"PTX: the operand {operand} of {self.rule}.")
        if operand.startswith("!"):
            return f"!{self.read(operand[1:], kind)}"
        bits = self.bits(operand, kind)
        if kind == "pred":
            return f"({bits} != 0)" if operand.lstrip("-").isdigit() else bits
        if kind in ("f16", "f32", "f64"):
            return f"as_{kind}({bits})"
        return f"(({kind}){bits})"

    def bits(self, operand: str, kind: str) -> str:
        if operand in SPECIAL:
            return SPECIAL[operand]
        if self.look_up("registers", operand):
            return self.look_up("names", operand)
        if operand[0] == "-" or operand[0].isdigit():
            return _immediate(operand, kind)
        if operand.startswith("%"):
            raise NotImplementedError(f"PTX: the register {operand} is not in tests/emulator.")
        if operand in self.shared.places:
            return str(self.shared.places[operand])
        return f"(b64){self.address_of(operand)}"

    def address_of(self, name: str) -> str:
        """Where a variable that is not in shared memory begins."""
        found = self.look_up("names", name) or self.parameters.get(name)
        if found is None and name in self.globals:
            found = c_name(name)
        if found is None:
            raise NotImplementedError(f"PTX: {name} is not declared.")
        return found

    def pointer(self, operand: Operand, space: str) -> str:
        """What an address points to in the host's memory."""
        if not isinstance(operand, Address):
            raise NotImplementedError(f"PTX: the address {operand}.")
        if self.look_up("registers", operand.base) or operand.base.isdigit():
            start = f"(char *){self.read(operand.base, 'b64')}"
        elif operand.base in self.shared.places:
            start, space = f"(char *){self.shared.places[operand.base]}ull", "shared"
        else:
            start = f"(char *){self.address_of(operand.base)}"
        if space.startswith("shared"):
            start = f"t->shared + (b64)({start})"
        return f"({start} + {operand.offset})"

    def write(self, register: str, kind: str, value: str) -> str:
        """Stores a value of a type; a register that is wider takes its sign along."""
        if register == "_":
            return ""
        name = self.look_up("names", register)
        if name is None or not self.look_up("registers", register):
            raise NotImplementedError(f"PTX: {register} is not a register.")
        if kind in ("f16", "f32", "f64"):
            return f"{name} = bits_{kind}({value});"
        return f"{name} = {'!!' if kind == 'pred' else f'({kind})'}({value});"

    # --- what becomes an expression

    def expression(self, instruction: Instruction) -> str:
        result, *kinds = self.rule.operands
        operands = list(self.operands)
        target = operands.pop(0) if result != "-" else None
        if len(operands) != len(kinds):
            raise NotImplementedError(
                f"PTX: {instruction.opcode} with the operands {self.operands}."
            )
        words = {name: WORDS.get(word, word) for name, word in self.rule.words.items()}
        values = {}
        for letter, operand, kind in zip("abcd", operands, kinds, strict=False):
            if kind == "mem":
                values[letter] = self.pointer(operand, self.space())
            else:
                values[letter] = self.read(operand, kind)
                if kind == "f32" and "ftz" in self.rule.flags:
                    values[letter] = f"ftz_f32({values[letter]})"
        value = Template(self.rule.c).substitute(
            {n: n for n in "abcd"} | {n: f"${n}" for n in "abcd"} | words
        )
        value = Template(value).substitute(values | words)
        if target is None:
            return f"{value};"
        first, _, second = result.partition("|")
        if "sat" in self.rule.flags and first in ("f32", "f64"):
            value = f"sat_{first}({value})"
        if "ftz" in self.rule.flags and first == "f32":
            value = f"ftz_f32({value})"
        names = str(target).split("|")
        written = self.write(names[0], first, value)
        if len(names) > 1:
            if not second:
                raise NotImplementedError(f"PTX: {instruction.opcode} with two results.")
            written = self.write(names[1], second, "second").join([written, ""])
        return written

    def space(self) -> str:
        return self.rule.words.get("s", "shared" if "shared" in self.rule.flags else "")

    # --- what is a statement

    def load(self) -> str:
        target, address = self.operands
        kind, pointer = self.rule.words["T"], self.pointer(address, self.space())
        written = [f"{_unsigned(kind)} loaded; char *from = {pointer};"]
        for place, register in enumerate(_items(target, self.rule.words.get("v"))):
            written.append(f"memcpy(&loaded, from + {place * SIZES[kind]}, {SIZES[kind]});")
            integer = kind if kind[0] in "sub" else _unsigned(kind)
            written.append(self.write(register, integer, f"({integer})loaded"))
        # All are read before the first is written: one of them may hold the address.
        return "{" + " ".join(written) + "}"

    def store(self) -> str:
        address, source = self.operands
        kind, pointer = self.rule.words["T"], self.pointer(address, self.space())
        written = [f"{_unsigned(kind)} stored; char *to = {pointer};"]
        for place, register in enumerate(_items(source, self.rule.words.get("v"))):
            written.append(f"stored = {self.read(register, _unsigned(kind))};")
            written.append(f"memcpy(to + {place * SIZES[kind]}, &stored, {SIZES[kind]});")
        return "{" + " ".join(written) + "}"

    def move(self) -> str:
        target, source = self.operands
        kind = _unsigned(self.rule.words["T"])
        if isinstance(target, Vector):
            part = f"b{8 * SIZES[kind] // len(target.items)}"
            written = [f"{kind} whole = {self.read(source, kind)};"]
            for place, register in enumerate(target.items):
                shifted = f"whole >> {place * 8 * SIZES[part]}"
                written.append(self.write(register, part, shifted))
            return "{" + " ".join(written) + "}"
        if isinstance(source, Vector):
            part = f"b{8 * SIZES[kind] // len(source.items)}"
            parts = [
                f"(b64){self.read(item, part)} << {place * 8 * SIZES[part]}"
                for place, item in enumerate(source.items)
            ]
            return self.write(str(target), kind, " | ".join(parts))
        return self.write(str(target), kind, self.read(source, kind))

    def branch(self) -> str:
        return f"goto {self.label(str(self.operands[0]))};"

    def branch_to_one(self) -> str:
        index, name = self.operands
        labels = self.look_up("targets", str(name))
        cases = [f"case {i}: goto {self.label(label)};" for i, label in enumerate(labels)]
        return f"switch ({self.read(index, 'u32')}) {{{' '.join(cases)}}}"

    def label(self, name: str) -> str:
        found = self.look_up("labels", name)
        if found is None:
            raise NotImplementedError(f"PTX: the label {name} is not in this function.")
        return found

    def call(self) -> str:
        groups = [o.names if isinstance(o, Arguments) else o for o in self.operands]
        results = groups.pop(0) if isinstance(groups[0], tuple) else ()
        name, given = groups[0], groups[1] if len(groups) > 1 else ()
        if name not in self.called:
            raise NotImplementedError(f"PTX: the function {name} is not in this module.")
        found = c_name(str(name))
        return f"{found}({', '.join(['t', *self.arguments((*results, *given))])});"

    def arguments(self, names: Iterable[str]) -> list[str]:
        return [self.address_of(name) for name in names]

    def leave(self) -> str:
        return "goto end;"

    def end(self) -> str:
        if not self.function.entry:
            raise NotImplementedError("PTX: `exit` in a function that is called.")
        return "goto end;"


def _unsigned(kind: str) -> str:
    return f"b{8 * SIZES[kind]}"


def _items(operand: Operand, vector: str | None) -> tuple[str, ...]:
    items = operand.items if isinstance(operand, Vector) else (str(operand),)
    if len(items) != int((vector or "v1")[1:]):
        raise NotImplementedError(f"PTX: {operand} as .{vector}.")
    return items


def _immediate(text: str, kind: str) -> str:
    """A number as bits; hexadecimal floats are written with 0f and 0d."""
    start = text.lower()[:2]
    if start in ("0f", "0d"):
        return f"0x{text[2:]}ull"
    value = int(text.rstrip("U"), 0)
    return f"{value % 2**64:#x}ull"
