"""What the record of a coil says of its recipe."""

from __future__ import annotations

from dataclasses import replace

from inspector.track.rules import TrackRules
from inspector.track.state import TrackState

NO_RECIPE = "no recipe fits it, so nothing was alarmed"


def with_recipe(state: TrackState, rules: TrackRules) -> TrackState:
    """Return the state with the recipe of the running coil's last frame; a coil without one is not assessed."""
    coil = state.coil
    if coil is None or (rules.recipe is None and not rules.no_recipe):
        return state
    said = coil.not_assessed
    if rules.no_recipe:
        said = NO_RECIPE
    elif said == NO_RECIPE:
        said = "it runs"
    now = replace(coil, recipe=rules.recipe, recipe_hash=rules.recipe_hash, not_assessed=said)
    return state if now == coil else replace(state, coil=now)


def rules_before(state: TrackState, rules: TrackRules) -> TrackRules:
    """Return the rules with the recipe of the coil that ends: what closes with it names that one."""
    coil = state.coil
    if (
        coil is None
        or rules.recipe_hash == coil.recipe_hash
        or (coil.recipe is None and coil.not_assessed != NO_RECIPE)
    ):
        return rules
    return replace(rules, recipe=coil.recipe, recipe_hash=coil.recipe_hash)
