"""What the tests of this room share."""

from pathlib import Path

import pytest

from hal9.minds import find_model, models_folder
from hal9.minds.chat import habits
from hal9.minds.local.models import is_installed

LOCAL_MODEL = "qwen2.5-coder-0.5b"


@pytest.fixture(autouse=True)
def _no_habits() -> None:
    """What was learned of one fake server must not be held against the next one on its port."""
    habits._KNOWN.clear()


@pytest.fixture
def local_model() -> Path:
    """The small model's file; the test is skipped, saying so, where it was never pulled."""
    model = find_model(LOCAL_MODEL)
    if not is_installed(model):
        pytest.skip(f"{model.file} is not in {models_folder()}; `hal9 model pull {model.name}` fetches it")
    pytest.importorskip("xllamacpp", reason="pip install 'hal9-cluster[local]'")
    return model.path
