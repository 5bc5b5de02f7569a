"""What a search says of itself, and when a worker makes room."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest
from search_trains import make_plan, steady

from keras_effnet.search.driver import common_fields
from keras_effnet.search.worker import TRIALS_PER_PROCESS, makes_room


def test_no_report_holds_the_password_of_a_store(monkeypatch):
    words = ["search", "coefficients", "--storage", "postgresql://me:hunter2@db:5432/x", "--output", "a:b@c"]
    monkeypatch.setattr("sys.argv", ["/bin/keras-effnet", *words])
    url = "postgresql://me:hunter2@db:5432/x"
    said = common_fields(make_plan("halving", 2), steady, url, [])
    assert said["storage"] == "postgresql+psycopg://me:***@db:5432/x"
    assert (
        said["command"] == "keras-effnet search coefficients --storage 'postgresql://me:***@db:5432/x' --output a:b@c"
    )


@pytest.mark.parametrize(
    ("trials", "free", "ends"), [(TRIALS_PER_PROCESS, 10, True), (TRIALS_PER_PROCESS - 1, 10, False), (500, 80, False)]
)
def test_a_worker_makes_room_only_where_memory_is_scarce(monkeypatch, trials, free, ends):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free, total=100))
    assert makes_room(trials) == ends
