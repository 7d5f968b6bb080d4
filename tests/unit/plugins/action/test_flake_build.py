from __future__ import annotations

import pytest
from unit.acting import act
from unit.fake_host import FakeHost


def test_x(monkeypatch: pytest.MonkeyPatch) -> None:
    r = act(monkeypatch, FakeHost(), "flake_build")
    print(r, type(r["reason"]))
    assert type(r["reason"]) is str
