"""The runs of a comparison on the engine of the searches, and what they came to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Self

from keras_effnet.atomic import folder_lock
from keras_effnet.comparison.compared import ComparedNetwork, Comparison, TrainingSummary
from keras_effnet.comparison.comparison_files import write_comparison
from keras_effnet.comparison.contenders import CountedContender
from keras_effnet.comparison.scratch_recipe import ScratchRecipe
from keras_effnet.errors import ComparisonError
from keras_effnet.json_text import parse_json
from keras_effnet.measures import count
from keras_effnet.search.candidates import Candidate, Trial, outcomes, spec_key
from keras_effnet.search.comparison_plan import ComparisonPlan
from keras_effnet.search.driver import Engine, run_search
from keras_effnet.search.task import data_classes, metric_name, train_to_dict

Found = Mapping[tuple[str, int, int], Trial]


@dataclass(frozen=True, eq=False)
class ComparisonRuns:
    """How the networks of a comparison are trained.

    Args:
        train: train function, or its name.
        recipe: the recipe.
        seeds: number of seeds that are reported, at least 1.
        seed: seed of the runs that choose learning rates, at least 0.
        images: number of images of each split, by name; empty for a train function of one's own.
    """

    train: Any
    recipe: ScratchRecipe
    seeds: int
    seed: int
    images: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def on_data(cls, data: str | PathLike[str], recipe: ScratchRecipe, seeds: int, seed: int) -> Self:
        """The runs on some images, which are loaded.

        Args:
            data: images, as `load_data` takes them.
            recipe: the recipe.
            seeds: number of seeds that are reported, at least 1.
            seed: seed of the runs that choose learning rates, at least 0.

        Raises:
            DataError: there is no such data, or too little of it for the split.
            SearchError: the data has no classes.
        """
        from keras_effnet.search.comparison_training import ComparisonTraining, check_splits, data_digest
        from keras_effnet.search.proxy_training import load_splits

        name = fspath(data)
        splits = load_splits(name, recipe.validation)
        check_splits(splits, recipe.batch_size)
        parts = {"training": splits.train, "validation": splits.validation, "test": splits.test}
        images = {split: len(part) for split, part in parts.items() if part is not None}
        content = data_digest(name, recipe.validation)
        train = ComparisonTraining(name, recipe.batch_size, recipe.validation, content)
        return cls(train, recipe, seeds, seed, images)

    @property
    def classes(self) -> int:
        """Number of classes of the data; ImageNet's 1000 if it is not known."""
        return data_classes(self.train)

    def plan(self, counted: Sequence[CountedContender]) -> tuple[ComparisonPlan, list[int]]:
        """Makes the plan, in which networks that are equal, as the base is by every rule, are one.

        Args:
            counted: the networks.

        Returns:
            The plan, and for each network its number there.

        Raises:
            ComparisonError: a network without a spec.
            RecipeError: steps that do not go together with the networks.
        """
        specs = [each.spec for each in counted if each.spec is not None]
        if len(specs) < len(counted):
            raise ComparisonError(
                "a model that carries no spec and is no registered backbone cannot be built anew, so it is only "
                "counted: leave it out of a comparison that trains, or give its spec.",
                received=", ".join(repr(each.label) for each in counted if each.spec is None),
            )
        steps = self.recipe.steps_of([each.cost.macs for each in counted], self.images.get("training"))
        keys = [spec_key(spec) for spec in specs]
        first = {key: keys.index(key) for key in keys}
        # The digest of the images stands for their name.
        told = {name: value for name, value in train_to_dict(self.train).items() if name != "data" or not self.images}
        plan = ComparisonPlan(
            networks=tuple(
                Candidate({"network": counted[number].label}, specs[number], count(counted[number].cost))
                for number in first.values()
            ),
            steps=tuple(steps[number] for number in first.values()),
            rates=self.recipe.rates,
            seeds=self.seeds,
            seed=self.seed,
            training=json.dumps(told, sort_keys=True),
        )
        return plan, [list(first).index(key) for key in keys]

    def run(self, comparison: Comparison, counted: Sequence[CountedContender], engine: Engine) -> Comparison:
        """Makes the runs that are not there, and writes the comparison, now and then and at the end.

        Args:
            comparison: what the networks cost.
            counted: the networks, one for each row.
            engine: where and how the runs are made.

        Returns:
            The comparison with what the runs came to.

        Raises:
            ComparisonError, RecipeError: as `plan`.
            SearchError: as `run_search`.
        """
        plan, numbers = self.plan(counted)
        describe = partial(self._described, comparison, plan, numbers)
        return run_search(plan, self.train, engine, describe, _write)[1]

    def _described(
        self,
        comparison: Comparison,
        plan: ComparisonPlan,
        numbers: Sequence[int],
        common: Mapping[str, Any],
        trials: Sequence[Trial],
    ) -> Comparison:
        """The comparison with what the trials tell so far."""
        found = outcomes(trials)
        finals = [trial for what, trial in found.items() if what[1] in plan.final_seeds and trial.state == "done"]
        on_test = bool(finals) and all("test_accuracy" in trial.notes for trial in finals)
        rows = tuple(
            self._row(row, plan, number, found, on_test)
            for row, number in zip(comparison.networks, numbers, strict=True)
        )
        states = Counter(trial.state for trial in found.values())
        versions = {json.dumps(trial.notes.get("versions", {})) for trial in finals}
        training = TrainingSummary(
            data=str(common["data"]["name"]),
            metric=metric_name(self.train),
            measured_on="test images" if on_test else "validation images",
            images=dict(self.images),
            chance=common["chance"],
            recipe=asdict(self.recipe),
            seeds=tuple(plan.final_seeds),
            rate_seed=plan.seed if len(plan.rates) > 1 else None,
            runs={"done": states["done"], "failed": states["failed"], "total": plan.total()[0]},
            seconds=common["trial_seconds"],
            versions=tuple(" ".join(map(" ".join, parse_json(each).items())) for each in sorted(versions)),
            finished=common["finished"],
        )
        return replace(comparison, networks=rows, training=training)

    def _row(
        self, row: ComparedNetwork, plan: ComparisonPlan, number: int, found: Found, on_test: bool
    ) -> ComparedNetwork:
        """The row of one network with what its runs came to."""
        tried = plan.tried(number, found) if len(plan.rates) > 1 else {}
        rates = {rate: None if trial is None else trial.metric for rate, trial in tried.items()}
        rate, accuracies = plan.best_rate(number, found), dict[int, float]()
        if rate is not None:
            for seed in plan.final_seeds:
                trial = found.get(plan.job(number, rate, seed).what)
                if trial is not None and trial.metric is not None:
                    accuracies[seed] = trial.notes["test_accuracy"] if on_test else trial.metric
        steps = plan.steps[number]
        notes = [row.note] if row.note else []
        if len(rates) > 2 and rate in (min(rates), max(rates)):
            notes.append(f"its best learning rate, {rate:g}, is the last of the ladder: try others beyond it")
        if tried and rate is None and all(trial and trial.state == "failed" for trial in tried.values()):
            notes.append("it failed with every learning rate")
        return replace(
            row,
            steps=steps,
            training_macs=self.recipe.training_macs(row.macs, steps),
            rates=rates,
            rate=rate,
            accuracies=accuracies,
            note="; ".join(notes),
        )


def _write(comparison: Comparison, trials: Sequence[Trial], output: Path) -> None:
    with folder_lock(output):  # another host may write the same comparison
        write_comparison(comparison, output)
