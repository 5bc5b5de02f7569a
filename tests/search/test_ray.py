"""Workers on a Ray cluster of two nodes, both on this machine; one of them is lost."""

from __future__ import annotations

import socket

import pytest
from search_trains import HALVING, begin_slowly, calls, ended_once, finish, hurry, trials_of, wait_for, workers_of

from keras_effnet.errors import MissingExtraError, SearchError
from keras_effnet.search import worker_pool


@pytest.mark.slow
def test_a_search_on_two_nodes_goes_on_with_one(tmp_path):
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs Ray: pip install ray")
    nodes = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
        asked = {**HALVING, "count": 6, "workers": 2, "ray_address": nodes.address}
        process = begin_slowly(tmp_path, **asked)
        began = calls(tmp_path, "begin")
        assert len({call.process for call in began}) == 2
        assert len(workers_of(tmp_path)) == 2
        nodes.remove_node(second, allow_graceful=False)
        wait_for(lambda: len(workers_of(tmp_path)) == 1, "the worker of the lost node ends")
        hurry(tmp_path)
        status, errors = finish(process)
        assert status == 0, errors
    finally:
        nodes.shutdown()
    trials = trials_of(tmp_path, **asked)
    assert [trial.state for trial in trials].count("done") == 6
    assert [trial.state for trial in trials].count("retried") == 1
    assert ended_once(tmp_path)


@pytest.mark.slow
def test_what_listens_and_is_no_cluster_is_told(monkeypatch):
    pytest.importorskip("ray", reason="needs Ray: pip install ray")
    monkeypatch.setattr(worker_pool, "SECONDS", 8)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = "{}:{}".format(*silent.getsockname())
        with pytest.raises(SearchError, match=r"no Ray cluster answers.*timed out.*Received"):
            worker_pool.connect_ray(address)


def test_a_cluster_that_is_not_there_is_told_at_once():
    pytest.importorskip("ray", reason="needs Ray: pip install ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*free.getsockname())
    with pytest.raises(SearchError, match=r"no Ray cluster answers.*Received: ray_address="):
        worker_pool.connect_ray(address)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"the extra \[ray\] of keras-effnet"):
        worker_pool.connect_ray("auto")
