"""PTX text as a small structure: a module, its variables and functions, and their statements."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Address:
    """``[base+offset]``."""

    base: str
    offset: int = 0


@dataclass(frozen=True)
class Vector:
    """``{a, b}``: registers side by side."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Arguments:
    """``(a, b)``: what a call takes or gives."""

    names: tuple[str, ...]


Operand = str | Address | Vector | Arguments


@dataclass(frozen=True)
class Instruction:
    """One instruction; it runs where its guard, a predicate register, is true, or ``!`` false."""

    opcode: str
    operands: tuple[Operand, ...] = ()
    guard: str | None = None


@dataclass(frozen=True)
class Label:
    """A place to branch to."""

    name: str


@dataclass(frozen=True)
class BranchTargets:
    """The labels that an indexed branch chooses from."""

    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Registers:
    """Registers of one type."""

    type: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Variable:
    """A variable in memory, or a parameter; an array where it has a length, 0 if not yet known."""

    space: str
    type: str
    name: str
    align: int = 0
    length: int | None = None
    values: tuple[str, ...] = ()
    visible: bool = False


@dataclass(frozen=True)
class Block:
    """Statements in braces; names that are declared in it are its own."""

    statements: tuple["Statement", ...]


Statement = Instruction | Label | BranchTargets | Registers | Variable | Block


@dataclass(frozen=True)
class Function:
    """An entry point, or a function that other functions call; without a body it is outside."""

    name: str
    entry: bool
    results: tuple[Variable, ...]
    parameters: tuple[Variable, ...]
    body: Block | None


@dataclass
class Module:
    """All of a text."""

    variables: list[Variable] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)


def statements(block: Block) -> Iterator[Statement]:
    """Each statement, those of inner blocks too."""
    for statement in block.statements:
        yield statement
        if isinstance(statement, Block):
            yield from statements(statement)


def parse(text: str) -> Module:
    """The structure of a PTX text."""
    return _Parser(text).module()


_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
# A line that no statement depends on: what debuggers and ptxas are told.
_SKIPPED_LINE = re.compile(r"^\s*\.(version|target|address_size|file|loc)\b[^\n]*", re.MULTILINE)
_TOKEN = re.compile(r'"[^"]*"|(?:::|[\w%$.])+|[^\s\w]')
_LINKAGE = (".visible", ".extern", ".weak", ".common")
_SPACES = (".global", ".const", ".shared", ".local", ".param")
# What an entry point tells ptxas about launches.
_DIRECTIVES = (".maxntid", ".minnctapersm", ".reqntid", ".maxnreg", ".noreturn", ".pragma")


class _Parser:
    def __init__(self, text: str) -> None:
        text = _SKIPPED_LINE.sub("", _COMMENT.sub(" ", text.rstrip("\0")))
        self.tokens = _TOKEN.findall(text)
        self.place = 0

    # --- tokens

    def next_is(self, *wanted: str) -> bool:
        return self.place < len(self.tokens) and self.tokens[self.place] in wanted

    def take(self) -> str:
        if self.place == len(self.tokens):
            raise SyntaxError("PTX: the text ends inside a statement.")
        self.place += 1
        return self.tokens[self.place - 1]

    def take_if(self, *wanted: str) -> bool:
        found = self.next_is(*wanted)
        self.place += found
        return found

    def expect(self, wanted: str) -> None:
        found = self.take()
        if found != wanted:
            near = " ".join(self.tokens[max(0, self.place - 8) : self.place + 3])
            raise SyntaxError(f"PTX: expected {wanted!r}, found {found!r} in: {near}")

    def skip_past(self, end: str) -> None:
        while self.take() != end:
            pass

    def number(self) -> int:
        sign = -1 if self.take_if("-") else 1
        return sign * int(self.take().rstrip("U"), 0)

    def separated(self, end: str) -> list[str]:
        """Words between commas, up to the end; a sign belongs to its number."""
        words = []
        while not self.take_if(end):
            sign = "-" if self.take_if("-") else ""
            words.append(sign + self.take())
            self.take_if(",")
        return words

    # --- what stands in a module

    def module(self) -> Module:
        module = Module()
        while self.place < len(self.tokens):
            visible = self.next_is(".visible")
            while self.take_if(*_LINKAGE):
                pass
            if self.take_if(".pragma"):
                self.skip_past(";")
            elif self.next_is(".entry", ".func"):
                module.functions.append(self.function())
            else:
                module.variables += self.variables(visible)
        return module

    def function(self) -> Function:
        entry = self.take() == ".entry"
        results = self.parameters() if self.next_is("(") else ()
        name = self.take()
        parameters = self.parameters() if self.next_is("(") else ()
        while self.take_if(*_DIRECTIVES):
            while not self.next_is("{", ";", *_DIRECTIVES):
                self.take()
        body = None if self.take_if(";") else self.block()
        return Function(name, entry, results, parameters, body)

    def parameters(self) -> tuple[Variable, ...]:
        found = []
        self.expect("(")
        while not self.take_if(")"):
            found += self.variables(end="")
            self.take_if(",")
        return tuple(found)

    def block(self) -> Block:
        self.expect("{")
        found: list[Statement] = []
        while not self.take_if("}"):
            found += self.statement()
        return Block(tuple(found))

    def variables(self, visible: bool = False, end: str = ";") -> list[Variable]:
        """One declaration; several variables may share it where it has an end."""
        space, align, kind = self.take(), 0, ""
        if space not in _SPACES:
            raise SyntaxError(f"PTX: {space} begins no statement that is known here.")
        while self.tokens[self.place].startswith("."):
            word = self.take()
            if word == ".align":
                align = self.number()
            elif word == ".ptr":  # the address space that a parameter points to
                self.take_if(*_SPACES)
            else:
                kind = word[1:]
        found = [self.variable(space[1:], kind, align, visible)]
        while end and not self.take_if(end):
            self.expect(",")
            found.append(self.variable(space[1:], kind, align, visible))
        return found

    def variable(self, space: str, kind: str, align: int, visible: bool) -> Variable:
        name, length, values = self.take(), None, ()
        while self.take_if("["):
            length = 0 if self.next_is("]") else self.number() * (length or 1)
            self.expect("]")
        if self.take_if("="):
            array = self.take_if("{")
            values = tuple(self.separated("}")) if array else (self.value(),)
        return Variable(space, kind, name, align, length, values, visible)

    def value(self) -> str:
        return ("-" if self.take_if("-") else "") + self.take()

    # --- what stands in a function

    def statement(self) -> list[Statement]:
        if self.take_if(";"):
            return []
        if self.next_is("{"):
            return [self.block()]
        if self.take_if(".reg"):
            return [self.registers()]
        if self.take_if(".pragma"):
            self.skip_past(";")
            return []
        if self.next_is(*_SPACES):
            return list(self.variables())
        if self.tokens[self.place + 1 : self.place + 2] == [":"]:
            name = self.take()
            self.expect(":")
            if self.take_if(".branchtargets"):
                return [BranchTargets(name, tuple(self.separated(";")))]
            return [Label(name)]
        return [self.instruction()]

    def registers(self) -> Registers:
        kind, names = self.take()[1:], []
        while True:
            name = self.take()
            if self.take_if("<"):
                names += [f"{name}{number}" for number in range(self.number())]
                self.expect(">")
            else:
                names.append(name)
            if self.take_if(";"):
                return Registers(kind, tuple(names))
            self.expect(",")

    def instruction(self) -> Instruction:
        guard = None
        if self.take_if("@"):
            guard = ("!" if self.take_if("!") else "") + self.take()
        opcode, operands = self.take(), []
        while not self.take_if(";"):
            operands.append(self.operand())
            self.take_if(",")
        return Instruction(opcode, tuple(operands), guard)

    def operand(self) -> Operand:
        if self.take_if("("):
            return Arguments(tuple(self.separated(")")))
        if self.take_if("{"):
            return Vector(tuple(self.separated("}")))
        if self.take_if("["):
            base, offset = self.take(), 0
            if self.take_if("+") or self.next_is("-"):
                offset = self.number()
            self.expect("]")
            return Address(base, offset)
        sign = "-" if self.take_if("-") else "!" if self.take_if("!") else ""
        word = sign + self.take()
        return f"{word}|{self.take()}" if self.take_if("|") else word
