"""Readers of one cell of the trial table: text that may be a number, a flag, a tensor or a configuration."""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from decimal import Decimal, InvalidOperation

from airflow_provider_modelarts.core.json_values import JSON

_TENSOR = re.compile(r"tensor\(\s*([^\s,()\[\]]+)\s*(?:,[^()]*(?:\([^()]*\)[^()]*)*)?\)")
_FLAGS = {"True": True, "true": True, "False": False, "false": False}
_MAX_CONFIG_CHARS = 100_000  # bounds the time that a parser takes
_MAX_INTEGER_BITS = 10_000  # Python refuses to print integers of more than 4,300 digits


def number(cell: JSON) -> float | None:
    """Return the number in a cell, NaN and infinities included; None when it holds no number.

    ``"0.25"``, ``0.25`` and ``"tensor(0.25, device='cuda:0')"`` are 0.25. Blank cells, words and flags are missing
    numbers, never zero.
    """
    if not isinstance(cell, str):
        return _float(cell)
    if "tensor(" in cell:
        tensor = _TENSOR.fullmatch(cell.strip())
        return number(tensor[1]) if tensor else None
    try:
        value = float(cell)
    except ValueError:
        return None
    # float() also accepts 1_000 and digits of other scripts, which no training script prints for a number
    return value if cell.isascii() and "_" not in cell else None


def _float(value: JSON) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def integer(cell: JSON) -> int | None:
    """Return the whole number in a cell; None when it holds none."""
    value = number(cell)
    return int(value) if value is not None and math.isfinite(value) and value.is_integer() else None


def flag(cell: JSON) -> bool | None:
    """Return the flag in a cell (``"True"``, ``true``); None when it holds none."""
    if not isinstance(cell, str):
        return cell if isinstance(cell, bool) else None
    return _FLAGS[cell] if cell in _FLAGS else _FLAGS.get(cell.strip().lower())


def configuration(cell: JSON) -> dict[str, JSON] | None:
    """Return the object in a ``config`` cell; None when it cannot be read.

    The platform has sent an object, JSON text, and the ``repr`` of a Python dict. The vendor's SDK turns it into
    ``{'lr': Decimal('0.03')}``. Text is parsed, never evaluated.
    """
    if isinstance(cell, dict):
        return cell
    if not isinstance(cell, str) or len(cell) > _MAX_CONFIG_CHARS:
        return None
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        value = _python_literal(cell)
    return value if isinstance(value, dict) else None


def _python_literal(text: str) -> JSON:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the syntax of the cell, not of this package
            return _literal(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, InvalidOperation, RecursionError, MemoryError):
        return None


def _literal(node: ast.expr) -> JSON:
    match node:
        case ast.Constant(value=int() as value) if value.bit_length() > _MAX_INTEGER_BITS:
            raise ValueError("too long for decimal digits")
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _literal(value) for key, value in zip(keys, values, strict=True)}
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_literal(item) for item in items]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            positive = _literal(operand)
            if isinstance(positive, (int, float)) and not isinstance(positive, bool):
                return -positive
        case ast.Call(func=ast.Name(id="Decimal"), args=[ast.Constant(value=str() as digits)], keywords=[]):
            return float(Decimal(digits))
        case ast.Name(id="nan" | "inf" as word):
            return float(word)
    raise ValueError("not a literal")


def _key(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise ValueError("not a text key")
