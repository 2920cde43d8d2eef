"""The rules of a bundle's card, with the changes that the configuration makes to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from inspector.errors import ConfigError
from inspector.inspection.decision import DecisionRules
from inspector.inspection.reference import SiteReference
from inspector.labels import Severity
from inspector.model.bundle import Bundle


def decision_rules(
    bundle: Bundle,
    thresholds: Mapping[str, float],
    severity: Mapping[str, Severity],
    record_floor: float,
    use_unknown: bool = True,
    second_look: bool = True,
    never_overrule: Collection[str] = (),
    reference: SiteReference | None = None,
    own_names: Collection[str] = (),
) -> DecisionRules:
    """Return the card's rules with the configuration's changes.

    Args:
        bundle: With the card.
        thresholds: Per label, in place of the card's.
        severity: Per label, in place of the card's.
        record_floor: As of `DecisionRules`.
        use_unknown: Whether a tile may be `unknown` for its distance.
        second_look: Whether doubtful tiles are scored again.
        never_overrule: As of `DecisionRules`.
        reference: As of `DecisionRules`.
        own_names: Labels that the site taught itself: the configuration may name them, too.

    Raises:
        ConfigError: A label that the bundle does not have.
    """
    card = bundle.card
    for key, given in (("thresholds", thresholds), ("severity", severity), ("never_overrule", never_overrule)):
        if strange := sorted(set(given) - {*card.defect_labels, *own_names}):
            raise ConfigError(
                f"decision.{key}: no label of bundle {card.name} ({', '.join(card.defect_labels)}): {strange[0]}"
            )
    unknown = card.unknown if use_unknown else None
    return DecisionRules(
        card.labels,
        card.temperature,
        {**card.thresholds, **thresholds},
        {**card.severity, **severity},
        record_floor,
        bundle.distance if unknown else None,
        unknown.threshold if unknown else np.inf,
        card.looks if second_look else 1,
        card.box_from,
        reference,
        frozenset(never_overrule),
    )
