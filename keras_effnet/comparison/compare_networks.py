"""`compare_networks`: any networks at any phi by any rule, counted at once, and trained when asked.

What is only counted needs no framework. Runs go through the engine of the searches, so that they can be interrupted and
shared by processes and hosts, and none is made twice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from keras_effnet.checks import check_int, check_seed, is_keras_model
from keras_effnet.comparison.compared import ComparedNetwork, Comparison
from keras_effnet.comparison.comparison_files import write_comparison
from keras_effnet.comparison.contenders import CountedContender, count_contender, open_contenders
from keras_effnet.comparison.scratch_recipe import ScratchRecipe
from keras_effnet.errors import ComparisonError
from keras_effnet.messages import progress_bar
from keras_effnet.report.text import this_command
from keras_effnet.scaling import ScalingRule

logger = logging.getLogger(__name__)


def compare_networks(
    networks: Sequence[Any],
    *,
    phi: Sequence[float | str] = (0,),
    rule: Sequence[ScalingRule | str] = ("compound",),
    latency: bool = False,
    classes: int | None = None,
    data: str | PathLike[str] | None = None,
    train: Any = None,
    recipe: ScratchRecipe | None = None,
    seeds: int = 3,
    seed: int = 0,
    output: str | PathLike[str] | None = None,
    storage: str | None = None,
    workers: int = 1,
    **engine: Any,
) -> Comparison:
    """Compares networks: parameters, multiply-adds and activations at once; latency and accuracy when asked.

    With `data` every network is trained from scratch at its own resolution: once with each learning rate of the recipe,
    then with its best one and each seed. A run is known by its network, recipe, data and seed: a call that was stopped
    goes on, and one with more networks or seeds trains only what is new. Comparisons that share a `storage` share runs.

    Args:
        networks: specs, names of registered backbones, paths of spec files (.json) or saved models (.keras, .h5), or
            Keras models: each is compared at every phi by every rule. A `Contender` is compared as it is, under a label
            and in a group of its own.
        phi: phis to scale by, as in `scale_spec`; 0 is a network as it is. Default: 0.
        rule: scaling rules, or names of registered ones. Default: the paper's.
        latency: whether each network is built and timed on this machine. Default: False.
        classes: number of classes; None for those of the data, and without data for 1000, or a model's own.
        data: images to train on, as `load_data` takes them; None to train nothing. Default: None.
        train: in place of `data`, a function from a `keras_effnet.search.task.Task` to a number, the larger the better,
            or its name, "package.module:function", as in `search_coefficients`. The task's candidate has the choice
            "rate". Default: None.
        recipe: steps, batch and learning rates; None for `ScratchRecipe()`.
        seeds: number of seeds that are reported, at least 1. Default: 3.
        seed: seed of the runs that choose learning rates, at least 0; the reported ones follow it. Default: 0.
        output: folder for compare.csv, compare.md, compare.json, compare.png and index.html, and for the runs; needed
            for training. None writes nothing.
        storage: address of a database for the runs, as in `search_coefficients`; None for SQLite in the folder.
        workers: number of processes that train, at least 1. Default: 1.
        engine: further arguments of `keras_effnet.search.driver.Engine`: `ray_address`, `trial_timeout`, `retries`,
            `heartbeat`.

    Returns:
        The comparison; `print` shows its table.

    Raises:
        ComparisonError: no network or phi; two networks of one label; training without a folder, or of a model that
            has no spec.
        DataError: there is no such data, or too little of it for the split.
        RecipeError: steps and epochs that do not go together.
        SearchError: another search is in the folder; no run came to a result; a value outside its range.
        BuildError, InheritanceError, RegistryError, ScalingError, SpecError, WeightsError: as `scale_spec` and
            `estimate_cost`.

    Example:
        >>> print(compare_networks(["mobilenet_v1", "resnet50"], phi=[0, 1]))
        network              px      params           MACs  activations
        -------------------  ---  ----------  -------------  -----------
        ...
    """
    recipe = ScratchRecipe() if recipe is None else recipe
    check_int(ComparisonError, "seeds", seeds, 1)
    check_seed(ComparisonError, seed, more=seeds)
    trained = data is not None or train is not None
    if data is not None and train is not None:
        raise ComparisonError("`data` and `train` both say how to train: give one.", received=f"{data=}, {train=}")
    if not trained and (storage is not None or engine):
        raise ComparisonError(
            "nothing is trained without `data`: name the images, or leave the options of the engine out.",
            received=f"{storage=}, {engine}",
        )
    if trained and output is None:
        raise ComparisonError("the runs need a folder: give `output`.", received="output=None")
    if data is not None:
        from keras_effnet.data.sets import check_data

        check_data(data)
    contenders = open_contenders(networks, phi, rule)  # a wrong name fails before any image is read
    if not trained:
        comparison = _counted([count_contender(each, classes) for each in contenders], latency, classes)
        if output is not None:
            write_comparison(comparison, output)
        return comparison
    from keras_effnet.comparison.comparison_runs import ComparisonRuns
    from keras_effnet.search.driver import Engine

    where = Engine(Path(str(output)), storage, workers, **engine)
    effort = recipe, seeds, seed
    runs = ComparisonRuns(train, *effort) if data is None else ComparisonRuns.on_data(data, *effort)
    classes = runs.classes if classes is None else classes
    counted = [count_contender(each, classes) for each in contenders]
    comparison = _counted(counted, latency, classes)
    logger.info("counted; %d runs follow\n\n%s\n", runs.plan(counted)[0].total()[0], comparison)
    return runs.run(comparison, counted, where)


def _counted(counted: Sequence[CountedContender], latency: bool, classes: int | None) -> Comparison:
    """The comparison of what networks cost."""
    rows = [
        ComparedNetwork(
            label=each.label,
            group=each.group,
            phi=each.contender.phi,
            rule=each.contender.rule,
            resolution=each.resolution,
            **{name: getattr(each.cost, name) for name in ("params", "macs", "activations")},
            note=f"{len(each.cost.opaque)} of its layers are not counted" if each.cost.opaque else "",
        )
        for each in counted
    ]
    machine = None
    if latency:
        from keras_effnet.latency.timing import describe_machine, measure_latency

        options: dict[str, Any] = {} if classes is None else {"classes": classes}
        for number, each in enumerate(progress_bar(counted, desc="latency", unit="network")):
            if each.timed is not None:
                found = measure_latency(each.timed, **({} if is_keras_model(each.timed) else options))
                rows[number] = replace(rows[number], latency_ms=found.median_ms)
        machine = describe_machine()
    return Comparison(networks=tuple(rows), command=this_command(), machine=machine)
