"""RunSpec (asked), RunRecord (got), Status: the vocabulary shared by engine, store, jobs and pages.

This module needs only the standard library, so that pages and jobs can import it without torch.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeVar

PROTOCOL_VERSION = 1
"""Raised by one whenever a change in the code changes the numbers a run produces."""

DTYPES = ("float32", "float64")
PROTOCOLS = ("published", "corrected")
SOURCES = ("computed", "published")
PUBLISHED = "published:"

Setting = float | int | str | bool
Value = TypeVar("Value", float, int, str)


@dataclass(frozen=True)
class Known:
    """A setting that there is: its default and what it means."""

    default: Setting
    doc: str


def setting(default: Value, doc: str) -> Value:
    """A field of a strategy, a diagnostic or a model: its default, and what it means to those who choose it."""
    value: Value = field(default=default, metadata={"doc": doc})
    return value


def defaults(cls: type) -> dict[str, Any]:
    """The settings that a class declares by ``setting``: their names and default values."""
    return {f.name: f.default for f in fields(cls) if "doc" in f.metadata and f.default is not MISSING}


class Status(Enum):
    """What became of a run; the values are the sentences a page shows."""

    RUNNING = "The run is still training."
    CONVERGED = "The run met its tolerance."
    STALLED = "The optimiser could make no further progress."
    BUDGET_SPENT = "The run used its whole budget of iterations."
    DIVERGED = "The loss or its gradient became infinite or not a number."
    FAILED = "The run ended with an error."
    REPORTED = "The value was read from a publication; nothing was trained here."

    @property
    def finished(self) -> bool:
        """Whether no further training will happen."""
        return self is not Status.RUNNING


ENDED = ("converged", "stalled", "budget_spent", "reported")
"""What runs that have numbers are stored as; those that diverged or failed are lost."""


class BadRequest(ValueError):
    """A request that cannot be carried out; its text is one sentence for the person who asked."""


class NoSpace(BadRequest):
    """A disk is full: the same request can be carried out once there is room."""


class NoMemory(BadRequest):
    """Memory is short: the same request can be carried out once others have given theirs back, unless it never fits."""


@dataclass(frozen=True, order=True)
class MapName:
    """The name of a map, ``family/problem/strategy[@variant]``.

    >>> str(MapName.parse("pinn/convection/lbfgs@float64"))
    'pinn/convection/lbfgs@float64'
    """

    family: str
    problem: str
    strategy: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> MapName:
        """Read a name; raises BadRequest when it has not three parts."""
        path, _, variant = text.partition("@")
        parts = path.split("/")
        if len(parts) != 3 or not all(parts):
            raise BadRequest(
                f"A map is named family/problem/strategy[@variant], got {text!r}; "
                "`python -m sciml_backend catalog` lists the maps."
            )
        family, problem, strategy = parts
        return cls(family, problem, strategy, variant)

    @property
    def plain(self) -> MapName:
        """The name without its variant: publications tell none apart."""
        return replace(self, variant="")

    def __str__(self) -> str:
        tail = f"@{self.variant}" if self.variant else ""
        return f"{self.family}/{self.problem}/{self.strategy}{tail}"


@dataclass(frozen=True, order=True)
class SourcedMap:
    """A map and whose values of it are meant; written as its name, after ``published:`` where these are published.

    >>> SourcedMap.parse("published:fno/poisson_2d/adam").source
    'published'
    """

    name: MapName
    source: str = "computed"

    @classmethod
    def parse(cls, text: str) -> SourcedMap:
        """Read what ``str`` gives; raises BadRequest when the name has not three parts."""
        name = text.removeprefix(PUBLISHED)
        return cls(MapName.parse(name), "computed" if name == text else "published")

    def __str__(self) -> str:
        return str(self.name) if self.source == "computed" else f"{PUBLISHED}{self.name}"


def _frozen(settings: Mapping[str, Setting]) -> Mapping[str, Setting]:
    return MappingProxyType(dict(sorted(settings.items())))


def plugin_of(
    plugins: Mapping[str, Mapping[str, str]], problem: str, strategy: str, settings: Mapping[str, Setting]
) -> str:
    """The content hashes of the plugins behind a run, empty when it is all ours.

    ``plugins`` has the hashes by kind and identifier. A strategy may be the run's, one that its ``settings`` (defaults
    included) name, or a phase that has settings of its own there.
    """
    held = [part for name, value in sorted(settings.items()) for part in (value, name.partition(".")[0])]
    named = dict.fromkeys([strategy, *(part for part in held if isinstance(part, str))])
    found = [plugins["problems"].get(problem), *(plugins["strategies"].get(name) for name in named)]
    return "-".join(filter(None, found))


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One training run as asked for: a cell of a map, one seed, and every setting that can change its numbers.

    ``coefficients`` are the problem's (dimensionless, by name, defaults filled in), ``data`` is the amount of data
    (collocation points for PINNs), ``model`` and ``settings`` hold only the fields that differ from the defaults of
    the model, and of the strategy and the loss.
    """

    family: str
    problem: str
    strategy: str
    coefficients: Mapping[str, float]
    data: int
    seed: int = 0
    data_seed: int = 0
    dtype: str = "float32"
    protocol: str = "published"
    model: Mapping[str, Setting] = field(default_factory=dict)
    settings: Mapping[str, Setting] = field(default_factory=dict)
    variant: str = ""
    plugin: str = ""

    def __post_init__(self) -> None:
        for name in ("model", "settings"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        coefficients = {k: float(v) for k, v in self.coefficients.items()}
        object.__setattr__(self, "coefficients", _frozen(coefficients))

    @property
    def map(self) -> MapName:
        """The map this run belongs to."""
        return MapName(self.family, self.problem, self.strategy, self.variant)

    def canonical(self) -> str:
        """The JSON text that identifies the run: sorted keys, floats by repr, no time, host or path.

        The variant is a name for settings that are in the text already, so it is left out. So is what is empty: a field
        that comes later leaves the identity of the runs that do not use it as it was.
        """
        content = {k: v for k, v in self.to_json().items() if k != "variant" and v not in ("", {})}
        content["protocol_version"] = PROTOCOL_VERSION
        return json.dumps(content, sort_keys=True, separators=(",", ":"))

    @property
    def cell_id(self) -> str:
        """First 128 bits of the SHA-256 of ``canonical()``, as a UUID."""
        return str(uuid.UUID(bytes=hashlib.sha256(self.canonical().encode()).digest()[:16]))

    def to_json(self) -> dict[str, Any]:
        """A plain dict that ``from_json`` reads back."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: dict(v) if isinstance(v, Mapping) else v for k, v in content.items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RunSpec:
        """Inverse of ``to_json``; raises BadRequest on unknown or missing fields."""
        try:
            return cls(**content)
        except TypeError as error:
            raise BadRequest(f"Not a run specification: {error}.") from None

    def __reduce__(self) -> Any:
        return RunSpec.from_json, (
            self.to_json(),
        )  # a read-only mapping cannot be pickled, and worker processes ask for it

    def but(self, **changes: Any) -> RunSpec:
        """The same run with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Curve:
    """A run's history at the logging cadence; equally long lists.

    ``iteration`` and ``evaluations`` (of loss and gradient on all data) count from the start of the run, ``seconds`` is
    the row's share of wall time, ``train_loss`` and ``test_error`` are the plain loss and the relative L2 error.
    """

    iteration: list[int] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    test_error: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One training run as it came out: the row that is stored, printed and drawn.

    Losses and errors are None (never a bare NaN) when the run has none; ``status`` says why and ``reason`` is one
    sentence. ``gradient_norm`` is the largest absolute component of the gradient, as L-BFGS judges it. ``seconds`` is
    the run's share of its batch's wall time. ``theta_initial`` and ``theta_final`` are the
    weights as little-endian bytes of ``dtype``.
    """

    spec: RunSpec
    status: Status
    reason: str
    source: str = "computed"
    train_loss: float | None = None
    test_error: float | None = None
    test_error_l1: float | None = None
    heldout_error: float | None = None
    objective_value: float | None = None
    gradient_norm: float | None = None
    iterations: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    device: str = "cpu"
    threads: int = 1
    kernel: str = ""
    chunk: int = 0
    batch_rows: int = 1
    versions: str = ""
    finished_at: str = ""
    curve: Curve = field(default_factory=Curve)
    theta_initial: bytes | None = None
    theta_final: bytes | None = None

    def to_json(self) -> dict[str, Any]:
        """The record without weights and curves, as printed by the command line."""
        spec = self.spec
        return {
            "map": str(spec.map),
            "cell_id": spec.cell_id,
            "family": spec.family,
            "problem": spec.problem,
            "strategy": spec.strategy,
            "variant": spec.variant,
            "coefficients": dict(spec.coefficients),
            "data": spec.data,
            "seed": spec.seed,
            "data_seed": spec.data_seed,
            "dtype": spec.dtype,
            "protocol": spec.protocol,
            "protocol_version": PROTOCOL_VERSION,
            "model": dict(spec.model),
            "settings": dict(spec.settings),
            "source": self.source,
            "status": self.status.name.lower(),
            "reason": self.reason,
            "train_loss": self.train_loss,
            "test_error": self.test_error,
            "test_error_l1": self.test_error_l1,
            "heldout_error": self.heldout_error,
            "objective_value": self.objective_value,
            "gradient_norm": self.gradient_norm,
            "iterations": self.iterations,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "device": self.device,
            "threads": self.threads,
            "kernel": self.kernel,
            "chunk": self.chunk,
            "batch_rows": self.batch_rows,
            "versions": self.versions,
            "finished_at": self.finished_at,
        }


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What a diagnostic found for one run: named numbers and named arrays.

    ``kind`` is the diagnostic's identifier (``spectrum``, ``landscape``, ``solution`` …), ``settings`` its parameters,
    ``numbers`` scalars such as ``lambda_max``, ``arrays`` numpy arrays by name (stored as one ``.npz`` blob).
    """

    cell_id: str
    kind: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    finished_at: str = ""

    @property
    def request_key(self) -> str:
        """Hash of kind and settings: with the cell it says whether this was computed already.

        All data are no setting: the key of what was computed before there was a choice stays as it was.
        """
        chosen = {name: value for name, value in self.settings.items() if (name, value) != ("data", 0)}
        content = json.dumps([self.kind, chosen], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]
