"""Cells of the trial table: numbers, flags, tensors and configurations."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.builders import quick

from airflow_provider_modelarts.core import cells

words = st.text(max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
configs = st.dictionaries(words, json_values, max_size=4)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("0.25", 0.25),
        ("0", 0.0),
        ("-3", -3.0),
        ("+1", 1.0),
        ("1e-3", 0.001),
        (".5", 0.5),
        (" 0.25\n", 0.25),
        ("19.477163314819336", 19.477163314819336),
        (0.25, 0.25),
        (7, 7.0),
        (2**63, 9223372036854775808.0),
        ("123456789012345678901234567890", 1.2345678901234568e29),
        ("tensor(0.0754, device='cuda:0', requires_grad=True)", 0.0754),
        ("tensor(0.0754)", 0.0754),
        ("tensor(5., dtype=torch.float64)", 5.0),
        ("tensor(-1.5e-3)", -0.0015),
        ("tensor( 0.5 )", 0.5),
        ("  tensor(0.5)  ", 0.5),
        ("tensor(3)", 3.0),
        ("tensor(0.5, grad_fn=<MeanBackward0>)", 0.5),
        ("tensor(0.5, grad_fn=<DivBackward0(1)>)", 0.5),
    ],
)
def test_number_of_a_cell_with_a_number(cell, value):
    """A number is read from a JSON number, from text and from a tensor."""
    assert cells.number(cell) == value


@pytest.mark.parametrize(
    "cell",
    [
        "",
        " ",
        "None",
        "null",
        "True",
        "False",
        True,
        False,
        None,
        "1_000",
        "\u0663",  # the Arabic 3
        "\u0663.\u0665",
        "\uff11\uff12",  # 12 in full width
        "1,5",
        "0x10",
        "5%",
        "0.5 (best)",
        "np.float64(0.5)",
        "tensor([0.1, 0.2])",
        "tensor([0.1])",
        "tensor([[1.]])",
        "tensor([])",
        "tensor()",
        "tensor(1_000)",
        "tensor(True)",
        "tensor(tensor(1))",
        "tensor(0.5",
        "tensor(1) tensor(2)",
        "loss: tensor(0.5)",
        "Tensor(1)",
        [],
        [0.5],
        {},
        {"value": 0.5},
        10**400,
        "acc",
    ],
)
def test_number_of_a_cell_without_a_number(cell):
    """A cell without a readable number is missing: never zero, never an exception."""
    assert cells.number(cell) is None


@pytest.mark.parametrize("cell", ["nan", "NaN", "-nan", math.nan, "tensor(nan, device='cuda:0')", "tensor(nan)"])
def test_number_of_nan(cell):
    """NaN is a reported value: it is read as NaN, not as missing."""
    assert math.isnan(cells.number(cell))


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("Infinity", math.inf),
        ("tensor(inf)", math.inf),
        ("tensor(-inf, device='cuda:0')", -math.inf),
        ("1e999", math.inf),
        (math.inf, math.inf),
    ],
)
def test_number_of_infinity(cell, value):
    """Infinity is a reported value: it is read as infinity, not as missing."""
    assert cells.number(cell) == value


@quick
@given(st.floats())
def test_number_of_every_repr_of_a_float(value):
    """The repr of any float is read back as the same float."""
    read = cells.number(repr(value))

    assert read == value or (math.isnan(read) and math.isnan(value))


@quick
@given(st.floats(allow_nan=False))
def test_number_of_every_tensor_of_a_float(value):
    """The text of a tensor around any float is read as the same float."""
    assert cells.number(f"tensor({value!r}, device='cuda:0')") == value


@quick
@given(st.text() | st.text("tensor()., 0123456789einfa_[]='").map("tensor({}".format) | json_values)
def test_number_of_any_cell(cell):
    """Any cell gives a float or None, without an exception."""
    assert isinstance(cells.number(cell), float | None)


def test_number_of_a_long_hostile_tensor():
    """Long hostile text is read in linear time; with a backtracking pattern this test would not end."""
    hostile = ["tensor(1," + "(" * 100_000, "tensor(1," + "()" * 100_000 + "x", "tensor(" + " " * 100_000 + "x"]

    assert [cells.number(cell) for cell in hostile] == [None, None, None]


@pytest.mark.parametrize(
    ("cell", "value"),
    [("2", 2), ("2.0", 2), (2, 2), (2.0, 2), ("-1", -1), ("tensor(4)", 4), ("0", 0)],
)
def test_integer_of_a_whole_number(cell, value):
    """A whole number becomes an integer from every form of a number."""
    assert cells.integer(cell) == value


@pytest.mark.parametrize("cell", ["2.5", 2.5, "", "nan", "inf", "-inf", True, None, "two", []])
def test_integer_of_anything_else(cell):
    """A cell that is not a whole number is missing."""
    assert cells.integer(cell) is None


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("True", True),
        ("False", False),
        ("true", True),
        (" FALSE ", False),
        (True, True),
        (False, False),
        ("", None),
        ("1", None),
        (1, None),
        (0, None),
        (None, None),
        ("done", None),
    ],
)
def test_flag_of_a_cell(cell, value):
    """Only JSON flags and the words true and false are flags."""
    assert cells.flag(cell) is value


DOCUMENTED = {"batch_size": 32, "learning_rate": 0.034, "trial_index": 3, "param/batch_size": 32}


@pytest.mark.parametrize(
    "cell",
    [
        DOCUMENTED,
        '{"batch_size": 32, "learning_rate": 0.034, "trial_index": 3, "param/batch_size": 32}',
        "{'batch_size': 32, 'learning_rate': 0.034, 'trial_index': 3, 'param/batch_size': 32}",
        "{'batch_size': 32, 'learning_rate': Decimal('0.034'), 'trial_index': 3, 'param/batch_size': 32}",
        " {'batch_size': 32, 'learning_rate': Decimal('3.4E-2'), 'trial_index': 3, 'param/batch_size': 32}\n",
    ],
    ids=["object", "JSON text", "Python repr", "Decimal repr", "surrounding blanks"],
)
def test_configuration_in_every_encoding_of_the_platform(cell):
    """Every encoding of the platform and its SDK gives the same configuration."""
    assert cells.configuration(cell) == DOCUMENTED


@pytest.mark.parametrize(
    ("cell", "types"),
    [
        ("{'n': 32, 'lr': Decimal('0.5'), 'on': True, 'no': None, 'name': 'sgd'}", [int, float, bool, type(None), str]),
        ('{"n": 32, "lr": 0.5, "on": true, "no": null, "name": "sgd"}', [int, float, bool, type(None), str]),
    ],
    ids=["Python repr", "JSON text"],
)
def test_configuration_types_of_parameters(cell, types):
    """Parameters have their JSON types: 32 stays an integer, and a Decimal becomes a float."""
    assert [type(value) for value in cells.configuration(cell).values()] == types


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("{}", {}),
        ({}, {}),
        ("{'layers': [64, 32], 'opt': {'name': 'sgd', 'lr': Decimal('0.1')}}",
         {"layers": [64, 32], "opt": {"name": "sgd", "lr": 0.1}}),
        ("{'betas': (0.9, 0.999)}", {"betas": [0.9, 0.999]}),
        ("{'x': -1, 'y': -0.5, 'z': -inf}", {"x": -1, "y": -0.5, "z": -math.inf}),
        ("{'x': inf}", {"x": math.inf}),
        ("{'big': 123456789012345678901234567890}", {"big": 123456789012345678901234567890}),
        ("{'text': 'it\\'s \"quoted\" \\n \\u4e00'}", {"text": 'it\'s "quoted" \n 一'}),
        ("{'a': 1, 'a': 2}", {"a": 2}),
    ],
)  # fmt: skip
def test_configuration_of_text(cell, value):
    """Nested and unusual values are read as Python and JSON read them."""
    assert cells.configuration(cell) == value


@pytest.mark.parametrize("cell", ["{'x': nan}", '{"x": NaN}', "{'x': Decimal('NaN')}"])
def test_configuration_with_nan(cell):
    """NaN in a configuration is kept; a later check decides whether XCom accepts it."""
    assert math.isnan(cells.configuration(cell)["x"])


@pytest.mark.parametrize(
    "cell",
    [
        "",
        " ",
        None,
        1,
        0.5,
        True,
        [],
        [["batch_size", 32]],
        "nan",
        "None",
        "[1, 2]",
        "'text'",
        '"{}"',
        "{1: 2}",
        "{'a'}",
        "{'a': {1, 2}}",
        "{'a': b'bytes'}",
        "{'a': 1j}",
        "{'a': ...}",
        "{'a': x}",
        "{'a': -True}",
        "{'a': -'x'}",
        "{'a': 1 + 1}",
        "{'a': ~1}",
        "{'a': not 1}",
        "{'a': 1 if 1 else 2}",
        "{'a': [x for x in (1, 2)]}",
        "{x: x for x in 'ab'}",
        "{**{'a': 1}}",
        "{'a': [*[1]]}",
        "{'a': f'{1}'}",
        "{'a': lambda: 1}",
        "{'a': (b := 1)}",
        "{'a': dict()}",
        "{'a': float('1')}",
        "{'a': Decimal(1)}",
        "{'a': Decimal('1', None)}",
        "{'a': Decimal('1', context=None)}",
        "{'a': Decimal('one')}",
        "{'a': Decimal('sNaN')}",
        "{'a': Decimal('1e99999999999999999999')}",
        "{'a': Decimal(x)}",
        "{'a': decimal.Decimal('1')}",
        "{'a': 'open",
        "{'a': 1}; {'b': 2}",
        "{'a': '\0'}",
        "{'a': '\ud800'}",
        "x = {'a': 1}",
        "{'a': " + "9" * 5000 + "}",
        '{"a": ' + "9" * 5000 + "}",
    ],
)
def test_configuration_of_an_invalid_cell(cell):
    """A cell that is not an object made of literals has no configuration and raises nothing."""
    assert cells.configuration(cell) is None


@pytest.mark.parametrize(
    "hostile",
    [
        "__import__('os').system('touch {file}')",
        "{{'a': __import__('os').system('touch {file}')}}",
        "{{'a': open('{file}', 'w')}}",
        "{{'a': [open('{file}', 'w') for x in (1,)]}}",
        "{{open('{file}', 'w'): 1}}",
        "{{'a': f\"{{open('{file}', 'w')}}\"}}",
        "{{'a': Decimal(open('{file}', 'w'))}}",
        "{{'a': Decimal('1' if open('{file}', 'w') else '2')}}",
        "(lambda: open('{file}', 'w'))()",
    ],
)
def test_configuration_of_code(hostile, tmp_path):
    """Text is parsed and never evaluated: code in a cell gives None and is not executed."""
    file = tmp_path / "executed"

    assert cells.configuration(hostile.format(file=file)) is None
    assert not file.exists()


@pytest.mark.parametrize(
    "hostile",
    [
        "(" * 100_000,
        "[" * 100_000,
        "{'a':" * 100_000,
        '{"a":' * 100_000,
        "{'a': " + "[" * 1_000 + "]" * 1_000 + "}",
        "{'a': " + "-" * 100_000 + "1}",
        "{'a': " + "not " * 100_000 + "1}",
        "a" + ".b" * 100_000,
        "1" + "+1" * 100_000,
        "a" + "()" * 100_000,
        "lambda:" * 100_000 + "1",
    ],
    ids=["parentheses", "brackets", "braces", "JSON", "lists", "minus", "not", "attributes", "sum", "calls", "lambda"],
)
def test_configuration_of_deeply_nested_text(hostile):
    """Nesting that exhausts a parser gives None, without an exception or a crash of the process."""
    assert cells.configuration(hostile) is None


@pytest.mark.parametrize(
    "text",
    ["{'a': [" + "1," * 500_000 + "]}", "{'a': '" + "x" * 1_000_000 + "'}", "{" + "'a':1," * 200_000 + "}"],
    ids=["list", "text", "keys"],
)
def test_configuration_of_very_long_text(text):
    """Text of a million characters is not parsed: a syntax tree takes hundreds of bytes per character."""
    assert cells.configuration(text) is None


def test_configuration_with_a_number_that_cannot_be_printed():
    """A number in hexadecimal digits beyond Python's limit of 4,300 decimal digits gives None."""
    assert cells.configuration("{'a': 0x" + "f" * 5000 + "}") is None


def test_configuration_of_text_with_a_stray_escape(recwarn):
    """A stray escape in a configuration adds no Python warning to the task log."""
    cells.configuration(r"{'regex': '\d+'}")

    assert not recwarn.list


@quick
@given(configs)
def test_configuration_of_every_json_text(config):
    """The output of json.dumps is read back unchanged."""
    assert cells.configuration(json.dumps(config)) == config


@quick
@given(configs)
def test_configuration_of_every_repr(config):
    """The output of repr is read back unchanged."""
    assert cells.configuration(repr(config)) == config


@quick
@given(st.dictionaries(st.text(), st.decimals(allow_nan=False, allow_infinity=False, places=6), max_size=6))
def test_configuration_of_every_decimal(config):
    """Decimals of the vendor SDK become floats of the same value."""
    assert cells.configuration(repr(config)) == {name: float(value) for name, value in config.items()}


@quick
@given(st.text() | st.text("{}[]()'\":,.x1Decimal- \\").map("{{'a':{}".format))
def test_configuration_of_any_text(text):
    """Any text gives a dict or None, without an exception."""
    assert isinstance(cells.configuration(text), dict | None)
