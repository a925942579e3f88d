"""Words, texts and places that Python and the functions on the server share have one definition, in Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

import pytest
from lupa.lua51 import LuaRuntime  # type: ignore[import-untyped]

from pexecutor.stores.valkey import prelude
from pexecutor.stores.valkey.library import PARTS, read_functions
from pexecutor.stores.valkey.protocol import HELD, LAYOUT, NUMBERS, TEXTS, WORDS
from pexecutor.stores.valkey.wire import AttemptRow, Row, StoredRecord, TaskArguments

FOLDER: Final = resources.files(prelude.__package__ or "") / "functions"
SOURCES: Final = {part: (FOLDER / f"{part}.lua").read_text(encoding="utf-8") for part in PARTS}

KEY_NAMES: Final = {"pending", "running", "following", "task"}
"""Words that are also names of keys. As a word they are compared, assigned, or an ending's outcome."""

AS_A_WORD: Final = r"(?:[=~]= *|\bstate = |\bword = |parts\[[^]]*\] = )"
FIELDS: Final = {"TASK": TaskArguments.__struct_fields__, "ATTEMPT": AttemptRow.__struct_fields__, "HELD": HELD}
NAMES: Final[dict[str, set[str]]] = {
    **{table: set(words) for table, words in WORDS.items()},
    **{table: set(numbers) for table, numbers in NUMBERS.items()},
    **{table: set(fields) for table, fields in FIELDS.items()},
    "TEXT": set(TEXTS),
    "LIST": set(prelude._BUILT),
}


def words_in(source: str) -> Iterator[str]:
    """Return the shared words that a source writes itself; names of verbs are no such words."""
    source = re.sub(r"verb\('\w+'|\bname ~= '\w+'|see 'join'", "", source)
    for words in WORDS.values():
        for word in words.values():
            before = AS_A_WORD if word in KEY_NAMES else ""
            yield from re.findall(rf"{before}'{word}[ ']", source)


@pytest.mark.parametrize("part", PARTS)
def test_lua_writes_no_shared_word_itself(part: str) -> None:
    assert list(words_in(SOURCES[part])) == []


@pytest.mark.parametrize("part", PARTS)
def test_lua_writes_no_shared_text_or_number_itself(part: str) -> None:
    pieces = [piece for text in TEXTS.values() for piece in re.split(r"%[sd]|\n", text) if len(piece) > 10]
    assert [piece for piece in pieces if piece in SOURCES[part]] == []
    assert not re.search(r"\b(253402300800|1099511627776)\b|2 \^ 40", SOURCES[part])


@pytest.mark.parametrize("part", PARTS)
def test_lua_uses_only_names_that_exist(part: str) -> None:
    used = re.findall(rf"\b({'|'.join(NAMES)})\.(\w+)", SOURCES[part])
    assert [f"{table}.{name}" for table, name in used if name not in NAMES[table]] == []


def inside(source: str, start: int) -> str:
    """Return what is between the brace that was opened before ``start`` and its partner, without inner braces."""
    depth, kept = 1, ""
    for character in source[start:]:
        depth += (character in "{(") - (character in "})")
        if depth == 0:
            break
        if depth == 1:
            kept += character
    return kept


@pytest.mark.parametrize("part", PARTS)
def test_each_list_for_python_gets_all_of_its_values(part: str) -> None:
    for found in re.finditer(r"LIST\.(\w+){", SOURCES[part]):
        given = re.findall(r"(\w+) = ", inside(SOURCES[part], found.end()))
        assert set(given) == set(prelude._BUILT[found[1]].__struct_fields__), found[0]


def shared(expression: str) -> Any:
    """Return the value of an expression, as the loaded functions see it."""
    lua = LuaRuntime(unpack_returned_tuples=True)
    lua.execute("cmsgpack = {pack = function(...) return table.concat({...}, ' ') end}")
    return lua.execute(f"{prelude.prelude()}\nreturn {expression}")


@pytest.mark.parametrize(
    ("table", "values"),
    [*WORDS.items(), *NUMBERS.items(), ("TEXT", TEXTS)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_library_has_the_values_of_python(table: str, values: dict[str, object]) -> None:
    assert prelude.prelude() in read_functions()[1]
    assert dict(shared(table).items()) == values


def test_the_library_has_the_layout_and_the_places_of_python() -> None:
    assert shared("LAYOUT") == LAYOUT
    for table, fields in FIELDS.items():
        assert dict(shared(table).items()) == {field: place for place, field in enumerate(fields, 1)}


def test_records_are_packed_and_listed_in_the_order_of_python() -> None:
    names = ", ".join(f"{name} = '{name}'" for name in {*StoredRecord._fields, *Row.__struct_fields__})
    fields = shared(f"string.sub(pack_record{{{names}}}, #PACKED.head + 1)").split()
    assert fields == list(StoredRecord._fields)
    assert shared("string.byte(PACKED.head, 1, -1)") == (0xDC, 0, len(fields)), "the head of a MessagePack list"
    row = shared(f"list_row({{{names}}}, 'task', 'crashes')")
    assert list(row.values()) == list(Row.__struct_fields__)


def test_a_library_with_another_text_has_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    name, _ = read_functions()
    monkeypatch.setitem(TEXTS, "abandoned", "it's \\ gone\n")
    assert shared("TEXT.abandoned") == "it's \\ gone\n"
    other, text = read_functions()
    assert other != name, "nodes with the earlier library keep theirs"
    assert text.startswith(f"#!lua name={other}\n")
