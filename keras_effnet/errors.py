"""Every error that this package raises on purpose.

Each of them names the rule that was broken and the way out (`rule`), and what broke it (`received`). All are
`KerasEffnetError`, and each is also the built-in error that a caller would expect.
"""


class KerasEffnetError(Exception):
    """Base class of every error of this package.

    Args:
        rule: the rule that was broken and how to keep it, as whole sentences.
        received: the offending value as text, such as "phi=nan".

    Example:
        >>> error = KerasEffnetError("`phi` must be a finite number.", received="phi=nan")
        >>> str(error)
        '`phi` must be a finite number. Received: phi=nan'
        >>> error.received
        'phi=nan'
    """

    def __init__(self, rule: str, received: str) -> None:
        # Both are arguments of `Exception` too: so errors are pickled and copied as any other.
        super().__init__(rule, received)
        self.rule = rule
        self.received = received

    def __str__(self) -> str:
        return f"{self.rule} Received: {self.received}"


class SpecError(KerasEffnetError, ValueError):
    """A block, a stage or a backbone that cannot exist."""


class ScalingError(KerasEffnetError, ValueError):
    """A phi, a coefficient or a rounding outside its range."""


class BudgetError(ScalingError):
    """A budget that no network of the family fits, or none at all."""


class RegistryError(KerasEffnetError, LookupError):
    """A name that nothing is registered under, or that is taken."""


class BuildError(KerasEffnetError, ValueError):
    """Arguments that no model can be built from."""


class ModelTooLargeError(BuildError, MemoryError):
    """A model that would not fit in memory; raised before anything is allocated."""


class WeightsError(KerasEffnetError, ValueError):
    """A weight file that is missing, broken or of another architecture; the model is unchanged."""


class MissingExtraError(KerasEffnetError, ImportError):
    """A library that an extra of this package installs, and that is not installed; raised before anything is done."""


class ConformanceError(KerasEffnetError, AssertionError):
    """A block, rule or backbone that breaks a law which all of them keep; raised by `keras_effnet.testing`."""


class DataError(KerasEffnetError, ValueError):
    """Images that cannot be trained on."""


class InheritanceError(KerasEffnetError, ValueError):
    """Weights that cannot follow a model into another spec, or not exactly where that was asked for."""


class ExportError(KerasEffnetError, ValueError):
    """A model that a file format cannot hold, or a file that does not do what its model does; no file is left."""


class RecipeError(KerasEffnetError, ValueError):
    """A recipe of training that cannot be followed."""


class TrainingError(KerasEffnetError, RuntimeError):
    """Training that cannot start or go on. What was learned before is kept."""


class LostProcessError(TrainingError):
    """One of several processes that train together is gone."""


class SearchError(KerasEffnetError, ValueError):
    """A search that cannot start or go on. What finished before is kept."""


class ComparisonError(KerasEffnetError, ValueError):
    """Networks that cannot be compared, or a figure of runs that nobody has made."""
