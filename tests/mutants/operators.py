# SPDX-License-Identifier: Apache-2.0
"""Mistakes that cosmic-ray doesn't make by itself.

Each has the two methods of its ``cosmic_ray.operators.operator.Operator``.
"""

import typing as ty
from collections.abc import Iterator

import parso

#: Where a mutation stands: line and column of its begin and its end.
Span = tuple[tuple[int, int], tuple[int, int]]


def _negated(node: ty.Any) -> ty.Any:
    return parso.parse(f" not ({node.get_code().strip()})")


class InvertIn:
    """``in`` and ``not in``, one for the other."""

    _OTHER: ty.Final = {"in": " not in", "not in": " in"}

    def _at(self, node: ty.Any) -> list[int]:
        if node.type != "comparison":
            return []
        return [
            at
            for at in range(1, len(node.children), 2)
            if node.children[at].get_code().strip() in self._OTHER
        ]

    def mutation_positions(self, node: ty.Any) -> Iterator[Span]:
        for at in self._at(node):
            yield node.children[at].start_pos, node.children[at].end_pos

    def mutate(self, node: ty.Any, index: int) -> ty.Any:
        at = self._at(node)[index]
        word = node.children[at].get_code().strip()
        node.children[at] = parso.parse(self._OTHER[word])
        return node


class NegateCondition:
    """``elif`` and the ``if`` of a comprehension, which AddNot leaves out."""

    def _at(self, node: ty.Any) -> list[int]:
        if node.type == "comp_if":
            return [1]
        if node.type != "if_stmt":
            return []
        return [
            at + 1
            for at, child in enumerate(node.children)
            if child.type == "keyword" and child.value == "elif"
        ]

    def mutation_positions(self, node: ty.Any) -> Iterator[Span]:
        for at in self._at(node):
            yield node.children[at].start_pos, node.children[at].end_pos

    def mutate(self, node: ty.Any, index: int) -> ty.Any:
        at = self._at(node)[index]
        node.children[at] = _negated(node.children[at])
        return node


class CatchAnother:
    """One of the errors that are caught is another one.

    As cosmic-ray's ExceptionReplacer, which takes no names with dots.
    """

    def _at(self, node: ty.Any) -> list[tuple[ty.Any, int]]:
        """Where errors stand: what holds them, and at which place."""
        if node.type != "except_clause":
            return []
        caught = node.children[1]
        if caught.type != "atom":
            return [(node, 1)]
        inside = caught.children[1]
        if inside.type != "testlist_comp":
            return [(caught, 1)]
        return [(inside, at) for at in range(0, len(inside.children), 2)]

    def mutation_positions(self, node: ty.Any) -> Iterator[Span]:
        for holder, at in self._at(node):
            yield holder.children[at].start_pos, holder.children[at].end_pos

    def mutate(self, node: ty.Any, index: int) -> ty.Any:
        holder, at = self._at(node)[index]
        prefix = holder.children[at].get_first_leaf().prefix
        holder.children[at] = parso.parse(f"{prefix}ZeroDivisionError")
        return node


class DropStatement:
    """What is done for its effect isn't done, nor refused."""

    def mutation_positions(self, node: ty.Any) -> Iterator[Span]:
        if node.type == "simple_stmt" and _has_effect(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: ty.Any, index: int) -> ty.Any:
        dropped = node.children[0]
        prefix = dropped.get_first_leaf().prefix
        node.children[0] = parso.parse(f"{prefix}pass")
        return node


class ReturnNothing:
    """An answer is forgotten."""

    def mutation_positions(self, node: ty.Any) -> Iterator[Span]:
        if node.type == "return_stmt" and node.children[1].get_code() not in (
            " None",
            " NotImplemented",
        ):
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node: ty.Any, index: int) -> ty.Any:
        node.children[1] = parso.parse(" None")
        return node


def _has_effect(statement: ty.Any) -> bool:
    if statement.type == "expr_stmt":
        target, sign = statement.children[:2]
        # Without its first value a name is missing: anybody notices that.
        return target.type in ("atom_expr", "power") or (
            sign.type == "operator" and sign.value not in ("=", ":")
        )
    if statement.type == "keyword":
        return statement.value in ("return", "continue")
    return statement.type in (
        "atom_expr",
        "power",
        "raise_stmt",
        "del_stmt",
        "yield_expr",
    )


OPERATORS: ty.Final = {
    one.__name__: one
    for one in (
        InvertIn,
        NegateCondition,
        CatchAnother,
        DropStatement,
        ReturnNothing,
    )
}
