"""Passwords in addresses are in no message, report or page."""

from __future__ import annotations

import sys

import pytest

from keras_effnet.errors import SearchError
from keras_effnet.redaction import without_secrets
from keras_effnet.report.text import this_command

PRIVATE = "hunter2"
WRONG = [
    f"postgresql//me:{PRIVATE}@host/db",
    f"me:{PRIVATE}@host",
    f"postgresql:me:{PRIVATE}",
    f"postgresql://me:{PRIVATE}/db",
    f"postgresql://me:a@{PRIVATE}@host:port/db",
    f"postgresql://host:{PRIVATE}/db?password={PRIVATE}",
    f"nosuch://me:{PRIVATE}@host/db",
]
RIGHT = [
    f"postgresql://me:{PRIVATE}@host:5432/db",
    f"postgresql://host/db?user=me&password={PRIVATE}",
    f"postgresql://me:x@{PRIVATE}@host/db?sslpassword={PRIVATE}&application_name=x",
]


@pytest.mark.parametrize("address", WRONG + RIGHT)
def test_no_secret_is_shown(address: str) -> None:
    shown = without_secrets(address)
    assert PRIVATE not in shown
    assert without_secrets(shown) == shown


@pytest.mark.parametrize(
    "text", ["postgresql://host:5432/db", "sqlite:////tmp/a.db", "postgresql://me@host/db", "a.db"]
)
def test_what_has_no_secret_is_shown_whole(text: str) -> None:
    assert without_secrets(text) == text


def test_a_command_is_shown_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["search", "--storage", RIGHT[1], f"--storage={RIGHT[0]}", "a@b.png", "hf://timm/net@main"]
    monkeypatch.setattr(sys, "argv", ["keras-effnet", *words])
    shown = this_command()
    assert PRIVATE not in shown
    assert "a@b.png" in shown
    assert "hf://timm/net@main" in shown


@pytest.mark.parametrize("address", [*WRONG, "postgresql://host:port/db", "", "x"])
def test_a_store_that_is_none_says_so_without_its_password(address: str) -> None:
    store = pytest.importorskip("keras_effnet.search.store")
    with pytest.raises(SearchError, match="Received: ") as caught:
        store.Store(address, {})
    assert PRIVATE not in str(caught.value)
    assert PRIVATE not in str(caught.value.__cause__)


def test_what_a_driver_says_is_shown_without_them() -> None:
    store = pytest.importorskip("keras_effnet.search.store")
    assert store._hidden(f"no such option {PRIVATE}", store.storage_url(RIGHT[1])) == "no such option ***"
