"""JSON and YAML of strangers: read as meant, or refused in a line."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coarseparts.system.documents import DocumentError, dump_yaml, load_json, load_yaml, parse_yaml, separator_of


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_is_read_in_every_encoding_that_json_has_had(tmp_path, encoding):
    (tmp_path / "a.json").write_bytes('{"ä": ["€", 1.5]}'.encode(encoding))
    assert load_json(tmp_path / "a.json") == {"ä": ["€", 1.5]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_yaml_is_read_with_and_without_a_mark(tmp_path, encoding):
    (tmp_path / "a.yaml").write_bytes("ä: [€, 1.5]".encode(encoding))
    assert load_yaml(tmp_path / "a.yaml") == {"ä": ["€", 1.5]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"images": [], "images": [1]}', "the key 'images' stands twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ', "is not valid JSON"),
        (b"\xff\xfe\xfd", "is not text"),
        (b"", "is not valid JSON"),
    ],
)
def test_what_is_no_json_is_told(tmp_path, text, said):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(DocumentError, match=said):
        load_json(tmp_path / "a.json")


def test_numbers_that_nothing_counts_are_infinite_and_not_a_crash(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1e999, "b": %s, "c": 12}' % ("9" * 5000))
    assert load_json(tmp_path / "a.json") == {"a": float("inf"), "b": float("inf"), "c": 12}


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    return "\n".join(lines + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (bomb(9), "stands for more than 1,000,000 values"),
        ("a: &a [*a]", "stands for more than"),
        ("a: " + "[" * 300_000 + "]" * 300_000, "nested too deeply"),
        ("a: 1\na: 2", "line 2, column 1: key 'a' stands twice"),
        ("a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("a: !!int ''", "is not valid YAML"),
        ("? [a]\n: 1", "a key is no plain text"),
    ],
)
def test_yaml_that_would_do_harm_is_refused_at_once(text, said):
    began = time.monotonic()
    with pytest.raises(DocumentError, match=said):
        parse_yaml(text)
    assert time.monotonic() - began < 5


def test_a_few_aliases_are_fine():
    assert parse_yaml("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}


def test_a_yaml_file_of_any_size_is_told_before_it_is_read(tmp_path):
    with open(tmp_path / "a.yaml", "wb") as file:
        file.truncate(10**10)
    with pytest.raises(DocumentError, match="10,000,000,000 bytes, expected at most 20,000,000"):
        load_yaml(tmp_path / "a.yaml")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_refused(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("d") / "a"
    path.write_bytes(raw)
    for load in (load_json, load_yaml):
        try:
            load(path)
        except DocumentError as error:
            assert str(error)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), values, max_size=4))
def test_what_is_dumped_shows_all_its_letters_and_is_read_back(value):
    text = dump_yaml(value)
    assert text.replace("\n", "").isprintable()
    assert parse_yaml(text) == value or not value


def test_letters_stay_letters():
    assert dump_yaml({"name": "Käfer 虫"}) == "name: Käfer 虫\n"
    assert "\u202e" not in dump_yaml({"name": "a\u202eb"})


@pytest.mark.parametrize(
    ("heading", "columns", "separator"),
    [
        ("image,label", (), ","),
        ("scorer;Ada, L.;Ada, L.\n", (), ";"),
        ('"x, y"\timage\tunit', (), "\t"),
        ("Name, first;image;unit", ("image", "unit"), ";"),
        ("Weight; net,image,unit", ("image", "unit"), ","),
        ("image; unit", ("image", "unit"), ";"),
        ("image", ("image",), ","),
        ("", ("image",), ","),
        ("a;b", ("image",), ";"),
    ],
)
def test_the_separator_of_a_table_is_told_by_its_heading(heading, columns, separator):
    assert separator_of(heading, columns) == separator
