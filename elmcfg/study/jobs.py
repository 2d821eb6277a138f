"""What there is to do: one job for each thing measured of each variant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmcfg import __version__
from elmcfg.study.plan import PlanError, place_of
from elmcfg.training import CorpusError, CorpusSpec, TokenizerError, by_content
from elmcfg.training.corpora import OWN

if TYPE_CHECKING:
    from elmcfg.document import Document
    from elmcfg.study.plan import Plan
    from elmcfg.study.variants import Named

_PROSE = ("name", "description", "source")


@dataclass(frozen=True)
class Job:
    """One thing to measure of one variant.

    Attributes:
        kind: ``costs``, ``proof``, ``speed`` or ``training``.
        variant: Of what.
        seed: Of a training; None for the other kinds.
        settings: Of the kind.
        corpus: Of a training.
        content: Of that corpus: with SHA-256 in place of names and paths.
    """

    kind: str
    variant: Named
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    corpus: dict[str, Any] | None = None
    content: dict[str, Any] | None = None

    @cached_property
    def key(self) -> str:
        """32 hexadecimal digits that stand for what is done, with which version of elmcfg."""
        said = {
            "kind": self.kind,
            "config": {k: v for k, v in self.variant.values.items() if k not in _PROSE},
            "seed": self.seed,
            "settings": self.settings,
            "corpus": self.content,
            "elmcfg": __version__,
        }
        text = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def learning_rate(self) -> float | None:
        """Of a training."""
        return self.settings.get("learning_rate") if self.kind == "training" else None

    @property
    def title(self) -> str:
        """A few words for people."""
        rate = "" if self.learning_rate is None else f", learning rate {self.learning_rate:g}"
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.variant.name}: {self.kind}{seed}{rate}"

    def values(self, folder: Path | None = None) -> dict[str, Any]:
        """The one JSON object that a worker takes."""
        return {
            "key": self.key,
            "kind": self.kind,
            "variant": self.variant.name,
            "config": self.variant.values,
            "seed": self.seed,
            "settings": self.settings,
            "corpus": self.corpus,
            "content": self.content,
            "folder": None if folder is None else str(folder),
            "elmcfg": __version__,
        }


def jobs(
    plan: Plan, found: tuple[Named, ...], folder: Path, document: Document | None = None
) -> Iterator[Job]:
    """Every job of a plan, the quick kinds first, and of the trainings seed by seed.

    So a study that is cut short has whole rounds of paired runs.

    Args:
        plan: The plan.
        found: Its variants.
        folder: What its corpus' path counts from.
        document: Its text, to say where a fault stands.

    Raises:
        elmcfg.study.plan.PlanError: If the corpus of a training cannot be read.
    """
    settings: dict[str, dict[str, Any]] = {
        "costs": {},
        "proof": plan.proof.model_dump(mode="json"),
        "speed": plan.speed.model_dump(mode="json"),
    }
    for kind, how in settings.items():
        if kind in plan.measure:
            for variant in found:
                yield Job(kind, variant, None, how)
    if "training" not in plan.measure:
        return
    corpus = plan.corpus.model_dump(mode="json")
    for key, own in (("source", OWN), ("tokenizer", ("bytes",))):
        if corpus[key] not in own:
            corpus[key] = str((folder / corpus[key]).absolute())
    try:
        content = by_content(CorpusSpec(**corpus))
    except CorpusError as error:
        key = "tokenizer" if isinstance(error, TokenizerError) else "source"
        raise PlanError(f"{place_of(document, ('corpus', key))}{error}") from error
    for seed in plan.seeds:
        for rate in plan.training.rates:
            how = plan.training.at(rate).model_dump(mode="json")
            for variant in found:
                yield Job("training", variant, seed, how, corpus, content)
