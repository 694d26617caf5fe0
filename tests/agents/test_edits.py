"""Edits of people's files: what is asked for is there afterwards, everything else as it was."""

from __future__ import annotations

import io
import json
import tomllib

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_cli.shells import NotWritable, dotenv
from tokenomics_core.agents.edits import EditError, edit_dotenv, edit_json, edit_toml
from tokenomics_core.agents.environment import merged

CODEX = {
    "model_provider": "tokenomics",
    "model_providers": {"tokenomics": {"name": "T", "base_url": "http://x/v1"}},
}
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
MAPS = st.dictionaries(st.text(max_size=3), TREES, max_size=4)


def test_json_keeps_everything_else() -> None:
    text = '{\n    "permissions": {"allow": ["Bash"]},\n    "env": {"MINE": "ü", "B": "old"}\n}\n'
    edited = edit_json(text, {"env": {"B": "new", "C": "1"}})
    assert json.loads(edited) == {
        "permissions": {"allow": ["Bash"]},
        "env": {"MINE": "ü", "B": "new", "C": "1"},
    }
    assert edited.startswith('{\n    "permissions"')
    assert edit_json(edited, {"env": {"B": "new"}}) == edited
    assert json.loads(edit_json(" \n", {"a": "b"})) == {"a": "b"}


@given(MAPS, MAPS)
def test_json_edits_are_merges_and_done_once(below: dict[str, object], above: dict[str, object]) -> None:
    text = json.dumps(below)
    try:
        edited = edit_json(text, above)
    except EditError:
        assert any(isinstance(above.get(key), dict) for key in below)
        return
    assert json.loads(edited) == merged(below, above)
    assert edit_json(edited, above) == edited


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not JSON"),
        ('{"a": 1} // mine', "or has comments"),
        ("[]", "is no JSON object"),
        ('{"env": {"A": 1, "A": 2}}', "has a key that stands twice"),
        ('{"env": []}', "has something else than a map at env"),
    ],
)
def test_json_that_is_not_touched(text: str, problem: str) -> None:
    with pytest.raises(EditError, match=problem):
        edit_json(text, {"env": {"A": "1"}})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# mine\nmodel = 'o3' # the best\n",
        'model_provider = "openai" # before\n\n[model_providers.other]\nname = "O"\n',
        '[model_providers.tokenomics] # here\nbase_url = "old"\n# kept\nwire_api = "chat"\n\n[[h]]\na = 1\n',
        "[model_providers]\n[model_providers.tokenomics]\n",
        'a = "no newline at the end"',
        '[ model_providers . tokenomics ]\nname = "N"\n',
    ],
)
def test_toml_keeps_comments_and_order(text: str) -> None:
    edited = edit_toml(text, CODEX)
    assert tomllib.loads(edited) == merged(tomllib.loads(text), CODEX)
    assert edit_toml(edited, CODEX) == edited
    for line in text.splitlines():
        if line.startswith(("#", "[", "wire_api", "model =", "a =")):
            assert line in edited.splitlines()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = ", "is not TOML"),
        ('model_providers = { tokenomics = { name = "x" } }', "in a form that cannot be edited"),
        ('model_provider = """\na\n"""', "in a form that cannot be edited"),
        ('model_providers.tokenomics.name = "x"', "in a form that cannot be edited"),
        ("model_providers = 1", "has something else than a map at model_providers"),
    ],
)
def test_toml_that_is_not_touched(text: str, problem: str) -> None:
    with pytest.raises(EditError, match=problem):
        edit_toml(text, CODEX)


def test_dotenv_rewrites_in_place() -> None:
    text = (
        "# mine\nexport KEY=old # why\nOTHER='a\nb'\n\nKEY = twice\nURL=\"two\nlines\"\nnot a line !\nLAST=1"
    )
    edited = edit_dotenv(text, {"KEY": "tkn", "URL": "http://x", "NEW": "n"}, dotenv)
    assert edited == (
        '# mine\nexport KEY="tkn"\nOTHER=\'a\nb\'\n\nURL="http://x"\nnot a line !\nLAST=1\nNEW="n"\n'
    )
    assert edit_dotenv(edited, {"KEY": "tkn", "URL": "http://x", "NEW": "n"}, dotenv) == edited


@given(
    st.dictionaries(st.sampled_from(["A", "B", "C"]), st.text(alphabet="ab'\"$`\\ #{}=\n!", max_size=8)),
    st.text(alphabet="ABC='\"\n #x\\", max_size=30),
)
def test_dotenv_is_read_back_as_meant(variables: dict[str, str], before: str) -> None:
    try:
        edited = edit_dotenv(before, variables, dotenv)
    except (NotWritable, EditError):
        return
    assert edit_dotenv(edited, variables, dotenv) == edited
    read = dotenv_values(stream=io.StringIO(edited), interpolate=False)
    assert {name: read[name] for name in variables} == variables


@given(st.text(alphabet="ab'\"$`\\ #{}=\n!é", max_size=8))
def test_a_dotenv_line_is_the_same_to_all_readers(value: str) -> None:
    try:
        line = dotenv("A", value)
    except NotWritable:
        return
    for interpolate in (True, False):
        assert dotenv_values(stream=io.StringIO(line), interpolate=interpolate) == {"A": value}
