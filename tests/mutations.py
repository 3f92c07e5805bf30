"""What one spot of a module may say instead, found in its tree.

Left as they are: prose (strings with white space), annotations, decorators, imports.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PAIRS = (
    *((ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn), (ast.Lt, ast.LtE), (ast.Gt, ast.GtE)),
    *((ast.And, ast.Or), (ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.BitOr, ast.BitAnd), (ast.Continue, ast.Break)),
)
SWAP: dict[Any, Any] = {ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult}
SWAP |= dict(PAIRS) | {b: a for a, b in PAIRS}
RENAME = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True, eq=False)
class Mutant:
    """One node of a module, and what stands in its place."""

    place: Any
    """The list of nodes, or the fields of a node, that it stands in."""
    key: Any
    before: Any
    after: ast.AST

    def apply(self) -> None:
        """Change the tree."""
        self.place[self.key] = ast.copy_location(self.after, self.before)

    def __str__(self) -> str:
        return " -> ".join(" ".join(ast.unparse(node).split()) for node in (self.before, self.after))


def mutants(parent: ast.AST) -> Iterator[Mutant]:
    """Yield the mutants of a tree."""
    for field, value in ast.iter_fields(parent):
        for key, node in enumerate(value) if isinstance(value, list) else [(field, value)]:
            if not isinstance(node, ast.AST) or _is_left(node, parent, field):
                continue
            made = [*_expressions(node), *_constants(node), *_statements(node)]
            if field in {"test", "ifs"} and isinstance(node, ast.expr):
                made += _negated(node)
            if isinstance(parent, ast.ExceptHandler) and isinstance(node, ast.Tuple):
                made += (ast.Tuple([t for t in node.elts if t is not gone], ast.Load()) for gone in node.elts)
            place = value if isinstance(value, list) else vars(parent)
            yield from (Mutant(place, key, node, after) for after in made)
            yield from mutants(node)


def _expressions(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(left, ops, right):
            for at, op in enumerate(ops):
                yield ast.Compare(left, [*ops[:at], SWAP[type(op)](), *ops[at + 1 :]], right)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(SWAP[type(op)](), values)
        case ast.BinOp(left, op, right):
            yield ast.BinOp(left, SWAP[type(op)](), right)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.Name(name, ast.Load()) if name in RENAME:
            yield ast.Name(RENAME[name], ast.Load())


def _negated(test: ast.expr) -> Iterator[ast.AST]:
    if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp):  # which have mutants of their own
        yield ast.UnaryOp(ast.Not(), test)


def _constants(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(str(value)) if value.split() in ([], [value]):
            yield ast.Constant(value + "X")
        case ast.Constant(bytes(value)):
            yield ast.Constant(value + b"X")


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Return(ast.expr() as value) if ast.unparse(value) != "None":
            yield ast.Return(ast.Constant(None))
        case ast.Expr(ast.Call() | ast.Yield() | ast.YieldFrom()) | ast.Raise() | ast.AugAssign():
            yield ast.Pass()
        case ast.Assign([ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Continue() | ast.Break():
            yield SWAP[type(node)]()


def _is_left(node: ast.AST, parent: ast.AST, field: str) -> bool:
    """Whether a node stays as it is: it says nothing at run time, or to people only."""
    match parent, node:
        case (_, ast.Expr(ast.Constant()) | ast.If(ast.Name("TYPE_CHECKING"))):
            return True
        case (_, ast.AnnAssign(annotation=ast.Name("TypeAlias")) | ast.Assign([ast.Name("__all__" | "__slots__")])):
            return True
        case (ast.JoinedStr(), ast.Constant()) | (ast.Call(ast.Name("cast" | "TypeVar")), ast.Constant()):
            return True
    strict = isinstance(node, ast.keyword) and node.arg == "strict"  # of zip: what it says is so, or is a fault
    return strict or field in {"annotation", "returns", "decorator_list", "format_spec"}
