"""The site's own labels for what the bundle cannot name, or names as something that the site knows better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from inspector.inspection.decision import DecisionRules, Verdict
from inspector.inspection.own_labels import embed
from inspector.inspection.predictions import Predictions
from inspector.labels import CLEAN


def name_own(verdicts: Sequence[Verdict], predictions: Predictions, rules: DecisionRules) -> list[Verdict]:
    """Return the verdicts, with the site's own label where a tile is like one of its examples.

    What is clean stays clean. What the bundle calls a defect changes its name only where the likeness is sure, and
    never if its label is one that is not overruled.
    """
    named = list(verdicts)
    asked = [n for n, verdict in enumerate(verdicts) if verdict.label != CLEAN and not rules.stays(verdict)]
    if not asked or not rules.own:
        return named
    rows = embed(predictions.pick(asked))
    near = np.stack([label.similarity(rows) for label in rules.own])
    for column, number in enumerate(asked):
        best = int(near[:, column].argmax())
        label, likeness, verdict = rules.own[best], float(near[best, column]), verdicts[number]
        if likeness >= (label.sure if verdict.is_defect else label.threshold):
            named[number] = replace(
                verdict, label=label.name, score=likeness, top=label.name, runner_up=verdict.top,
                runner_up_score=verdict.score, candidate=False,
            )  # fmt: skip
    return named
