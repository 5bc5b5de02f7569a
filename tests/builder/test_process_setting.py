"""What building changes for the whole process, in several threads at once."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Thread

import keras
import pytest
from support import tiny_spec

from keras_effnet import build_model
from keras_effnet.blocks import MBConv
from keras_effnet.builder.initialization import deep_recursion, paused_garbage_collection
from keras_effnet.builder.process_setting import ProcessSetting


def test_the_first_changes_it_and_the_last_puts_it_back() -> None:
    limit = sys.getrecursionlimit()
    inside, leave = Event(), Event()

    def other() -> None:
        with deep_recursion(), paused_garbage_collection():
            inside.set()
            leave.wait(10)

    thread = Thread(target=other)
    thread.start()
    assert inside.wait(10)
    with deep_recursion(), paused_garbage_collection():
        pass
    # The other one is still at work.
    assert sys.getrecursionlimit() > limit
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert sys.getrecursionlimit() == limit
    assert gc.isenabled()


def test_it_is_put_back_however_many_enter_at_once() -> None:
    state, seen = ["plain"], set()

    def change() -> str:
        before, state[0] = state[0], "changed"
        return before

    setting = ProcessSetting(change, lambda before: state.__setitem__(0, before))
    start = Barrier(8)

    def work(_: int) -> None:
        start.wait()
        for _ in range(200):
            with setting(), setting():
                seen.add(state[0])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert (state, seen) == (["plain"], {"changed"})


def test_it_is_put_back_after_an_error() -> None:
    limit = sys.getrecursionlimit()
    with pytest.raises(ValueError, match="inside"), deep_recursion():
        raise ValueError("inside")
    assert sys.getrecursionlimit() == limit


def test_two_threads_build_networks_that_are_deeper_than_pythons_limit() -> None:
    spec, limit = tiny_spec(MBConv(expand=1, se_ratio=0), depth=20), sys.getrecursionlimit()
    sys.setrecursionlimit(200)  # fewer calls than the network has layers
    try:
        with ThreadPoolExecutor(2) as pool, keras.StatelessScope(initialize_variables=False):
            models = list(pool.map(lambda _: build_model(spec, classes=2), range(2)))
    finally:
        sys.setrecursionlimit(limit)
    assert {len(model.layers) for model in models} == {len(models[0].layers)}
