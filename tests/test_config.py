"""Settings: the shipped file documents every key; mistakes are named with file, line and nearest key."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, RootModel

from hal9.config import load_model, load_settings, settings_as_yaml
from hal9.errors.config import ConfigInvalid, ConfigMissing
from hal9.settings import Settings

SHIPPED = Path(__file__).parent.parent / "config" / "hal9.yaml"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "hal9.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(tmp_path: Path, text: str, **environ: str) -> list[str]:
    path = write(tmp_path, text)
    with pytest.raises(ConfigInvalid) as caught:
        load_settings(path, environ=environ)
    return [f"{problem.line}: {problem.text}" for problem in caught.value.problems]


def test_the_shipped_file_states_the_defaults() -> None:
    assert load_settings(SHIPPED) == Settings()


def _keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, info in model.model_fields.items():
        annotation: Any = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found += [f"{prefix}{name}", *_keys(annotation, f"{prefix}{name}.")]
        else:
            found.append(f"{prefix}{name}")
    return found


def test_every_key_is_written_and_commented_in_the_shipped_file() -> None:
    written = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    for key in _keys(Settings):
        here = written
        for part in key.split("."):
            assert part in here, f"{key} is missing in config/hal9.yaml"
            here = here[part]
    for number, line in enumerate(SHIPPED.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("  ") and ":" in line and not line.strip().startswith("#"):
            opens_section = line.rstrip().endswith(":")
            inline = "{" in line
            assert opens_section or inline or "#" in line, f"line {number} has no comment: {line}"


def test_the_seeds_learning_keys_have_the_seeds_defaults() -> None:
    learning = Settings().backward_propagation
    assert (learning.enabled, learning.learning_rate, learning.pattern_threshold) == (True, 0.1, 3)
    assert (learning.adjustment_decay, learning.max_gradient_depth) == (0.95, 3)
    weights = learning.error_weights
    assert (weights.task_failed, weights.incorrect_output, weights.timeout) == (0.8, 0.7, 0.5)
    assert (weights.low_quality, weights.user_rejection, weights.tool_execution_failed) == (0.6, 0.9, 0.4)


def test_all_mistakes_at_once_with_line_and_nearest_key(tmp_path: Path) -> None:
    text = (
        "cluster:\n  nam: x\n  lease_seconds: -2\nbakward_propagation: {}\n"
        "workbench:\n  layers:\n    L2: {wrte: true}\n"
    )
    found = problems(tmp_path, text)
    assert found == [
        "2: unknown key 'cluster.nam'; did you mean 'name'?",
        "3: cluster.lease_seconds: input should be greater than 0 (given -2)",
        "4: unknown key 'bakward_propagation'; did you mean 'backward_propagation'?",
        "7: unknown key 'workbench.layers.L2.wrte'; did you mean 'write'?",
    ]


def test_environment_is_expanded_with_defaults(tmp_path: Path) -> None:
    text = "broker:\n  password: ${SECRET}\n  username: ${WHO:-me}\ncluster:\n  max_depth: ${DEPTH}\n"
    settings = load_settings(write(tmp_path, text), environ={"SECRET": "s3", "DEPTH": "7"})
    assert (settings.broker.password, settings.broker.username, settings.cluster.max_depth) == ("s3", "me", 7)


def test_an_unset_variable_is_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, "broker:\n  password: ${NOPE}\n") == [
        "2: environment variable NOPE is not set; set it or write ${NOPE:-default}"
    ]


def test_a_key_that_stands_twice_is_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, "cluster:\n  name: a\n  name: b\n") == ["3: key 'name' stands twice"]


@pytest.mark.parametrize("text", ["cluster: [", "a: b: c", "\tx: 1"])
def test_broken_yaml_names_its_line(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, text)
    assert "not valid YAML" in found[0]


def test_binary_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigMissing, match="Name a file that is there"):
        load_settings(tmp_path / "x.yaml")
    path = tmp_path / "hal9.yaml"
    with pytest.raises(ConfigMissing, match="hal9 init"):
        load_settings(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigInvalid):
        load_settings(path)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "")) == Settings()


def test_settings_print_as_yaml_that_loads_again(tmp_path: Path) -> None:
    text = settings_as_yaml(Settings())
    assert load_settings(write(tmp_path, text)) == Settings()


def test_the_ten_percent_limit_cannot_be_raised(tmp_path: Path) -> None:
    assert "less than or equal to 0.1" in problems(tmp_path, "safety:\n  max_adjustment: 0.5\n")[0]


@pytest.mark.parametrize(
    ("content", "told"), [(None, "cannot be read: Is a directory"), (b"\xff\xfe\x00", "is no UTF-8 text")]
)
def test_what_cannot_be_read_is_told_without_the_system_s_words(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "hal9.yaml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigInvalid) as caught:
        load_settings(path)
    assert [problem.text for problem in caught.value.problems] == [told]


def test_a_list_in_place_of_keys_names_the_keys(tmp_path: Path) -> None:
    told = problems(tmp_path, "- minds\n")
    assert len(told) == 1
    assert told[0].startswith("1: (top level): keys with values are wanted here (known keys: api, ")


def test_unknown_keys_of_a_file_that_is_a_list_are_measured_by_its_entries(tmp_path: Path) -> None:
    class Entry(BaseModel, extra="forbid"):
        input: str = ""
        expected: str = ""

    class Entries(RootModel[list[Entry]]):
        pass

    path = write(tmp_path, "- expect: 1\n- other: 2\n")
    with pytest.raises(ConfigInvalid) as caught:
        load_model(path, Entries)
    assert [problem.text for problem in caught.value.problems] == [
        "unknown key '0.expect'; did you mean 'expected'?",
        "unknown key '1.other'; known keys: expected, input",
    ]
