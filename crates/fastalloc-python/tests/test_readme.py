"""The examples in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "document",
    [HERE / "README.md", HERE / "GUIDE.md", HERE.parents[1] / "README.md"],
    ids=["package", "guide", "repository"],
)
def test_examples_run(document: Path) -> None:
    if not document.exists():
        pytest.skip("not in a clone of the repository")
    examples = re.findall(r"^```python\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        if "numpy" in example:
            pytest.importorskip("numpy")
        exec(compile(example, str(document), "exec"), {})
