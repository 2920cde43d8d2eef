"""`inspector.station.recipes`: the recipe of a coil from its first frame on, and none where none fits."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes import NOON, FakeClock, decision_rules, inspected, make_defect, make_frame, track_all, track_rules
from structlog.testing import capture_logs

from inspector.errors import ConfigError
from inspector.inspection.one_frame import InspectRules
from inspector.inspection.tiling import TilingRules
from inspector.items import CoilChange, CoilFacts, Command, Tick
from inspector.messages import AlarmMessage, DefectMessage, PeriodicMessage
from inspector.settings.loading import load_settings
from inspector.settings.recipe import Match, Recipe, check_recipes
from inspector.station.in_force import Rules, RulesInForce
from inspector.station.inbox import Inbox
from inspector.station.recipes import Recipes
from inspector.strip.record import CoilRecord
from inspector.track.recipes import NO_RECIPE

THIN, HARD = CoilFacts(product="tin", thickness_mm=0.2), CoilFacts(grade="S700")
RECIPES = (
    Recipe(name="tin", match=Match(product="tin", thickness_mm=(0.1, 0.5))),
    Recipe(name="hard", match=Match(grade=("S700", "S900"))),
    Recipe(name="thin", match=Match(thickness_mm=(0.1, 0.3))),
)


def make(base: Rules, number: int | None) -> Rules:
    name = None if number is None else RECIPES[number].name
    return replace(base, track=replace(base.track, recipe=name, no_recipe=number is None))


def in_force(recipes: Recipes) -> RulesInForce:
    rules = Rules(InspectRules(TilingRules(100), decision_rules()), track_rules())
    return RulesInForce(rules, recipes)


def recipe_at(rules: RulesInForce, placed_s: float) -> str | None:
    return rules.at(placed_s).track.recipe


def test_each_frame_has_the_recipe_of_its_time(clock: FakeClock) -> None:
    """Frames that were captured before the coil was named keep theirs, and the first after it has the coil's."""
    recipes = Recipes(RECIPES, make)
    rules, inbox = in_force(recipes), Inbox(clock, recipes.follow)
    begun_s = clock.monotonic()
    for coil_id, facts in (("A", THIN), ("B", HARD), ("C", CoilFacts())):
        clock.advance(10)
        inbox.put(CoilChange(NOON, coil_id, facts=facts))

    placed = [recipe_at(rules, begun_s + after) for after in (0, 9.9, 10, 19.9, 20, 29.9, 30)]
    assert placed == [None, None, "tin", "tin", "hard", "hard", None]
    assert recipes.present is None
    assert recipes.lacking == "none fits coil C (nothing is said of it): it observes and raises no alarm"
    assert rules.at(begun_s + 20) is rules.at(begun_s + 25)


def test_a_command_says_the_same_and_more_of_the_same_coil_later(clock: FakeClock) -> None:
    """What is said again of the running coil is added to what is known of it."""
    recipes = Recipes(RECIPES, make)
    inbox = Inbox(clock, recipes.follow)
    for asked in ({"coil_id": "A", "product": "tin"}, {"coil_id": "A", "thickness_mm": 0.4}):
        inbox.put(Command(NOON, "coil", json.dumps(asked)))

    assert (recipes.present, recipes.lacking) == ("tin", None)


def test_the_tracker_brings_coils_that_nobody_named(clock: FakeClock) -> None:
    """A coil that begins by its length has no recipe; one that was named is not overtaken by the one before it."""
    recipes = Recipes(RECIPES, make)
    recipes.follow(CoilChange(NOON, "A", facts=THIN), 1.0)
    recipes.follow(CoilChange(NOON, "B", facts=HARD), 2.0)
    recipes.seen(CoilRecord("A", NOON, facts=THIN), 3.0)
    named = recipes.present
    recipes.seen(CoilRecord("20261201-1", NOON), 4.0)

    assert (named, recipes.present) == ("hard", None)


def test_a_coil_at_a_tracking_point_changes_nothing_until_it_is_here() -> None:
    """Where coils are named before they reach the camera, the tracker alone says when."""
    recipes = Recipes(RECIPES, make, at_once=False)
    recipes.follow(CoilChange(NOON, "A", facts=THIN), 1.0)
    before = recipes.present
    recipes.seen(CoilRecord("A", NOON, facts=THIN), 9.0)

    assert (before, recipes.present) == (None, "tin")


def test_after_a_start_the_running_coil_has_its_recipe() -> None:
    """It is remembered with the coil's facts."""
    recipes = Recipes(RECIPES, make)
    recipes.begin(CoilRecord("A", NOON, facts=HARD))

    assert (recipes.present, recipe_at(in_force(recipes), 0.0)) == ("hard", "hard")


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (CoilFacts(product="tin", thickness_mm=0.5), "tin"),
        (CoilFacts(product="tin", thickness_mm=0.51), None),
        (CoilFacts(product="tin"), None),
        (CoilFacts(grade="S900", product="x"), "hard"),
        (CoilFacts(thickness_mm=0.2), "thin"),
        (THIN, "tin"),
    ],
)
def test_the_first_that_fits_counts(facts: CoilFacts, name: str | None) -> None:
    """All that a recipe asks for has to fit, both ends included; two of the recipes fit the last coil."""
    recipes = Recipes(RECIPES, make)
    recipes.begin(CoilRecord("A", NOON, facts=facts))

    assert recipes.present == name


def test_rivals_are_named_and_a_recipe_for_the_rest_is_none() -> None:
    """A coil that two `match` fit is a warning; one that a recipe without `match` would take as well is none."""
    with capture_logs() as logs:
        for number, facts in enumerate((THIN, HARD, CoilFacts())):
            Recipes((*RECIPES, Recipe(name="rest")), make).begin(CoilRecord(str(number), NOON, facts=facts))

    assert [one for one in logs if one["event"] == "recipe_ambiguous"] == [
        {"event": "recipe_ambiguous", "log_level": "warning", "coil_id": "0", "recipe": "tin", "also": "thin"}
    ]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ((RECIPES[0], RECIPES[0].model_copy(update={"name": "x"})), "1.match: no coil reaches x"),
        ((Recipe(), RECIPES[0]), "1.match: no coil reaches tin: each that fits it fits recipe.0"),
        ((RECIPES[2], RECIPES[0].model_copy(update={"match": Match(product="a", thickness_mm=(0.2, 0.3))})), "reaches"),
        ((RECIPES[0], RECIPES[1].model_copy(update={"name": "tin"})), "1.name: recipe 0 has this name, too: 'tin'"),
    ],
)
def test_a_recipe_that_is_never_reached_is_refused(rows: tuple[Recipe, ...], told: str) -> None:
    """Also one that only repeats a name; overlaps are allowed."""
    with pytest.raises(ValueError, match=told):
        check_recipes(rows)
    check_recipes(RECIPES)


def test_a_thickness_the_wrong_way_round_is_refused_with_file_and_key(tmp_path: Path) -> None:
    """As every other value is."""
    (path := tmp_path / "station.toml").write_text(
        '[station]\nsite = "a"\nline = "b"\nname = "c"\n[source]\nkind = "folder"\npath = "/x"\n'
        "[[recipe]]\nmatch = {thickness_mm = [2, 1]}\n"
    )
    with pytest.raises(ConfigError, match=r"station\.toml: recipe\.0\.match: .*thinner to the thicker: \[2\.0, 1\.0\]"):
        load_settings(path, environ={})


def test_the_record_and_each_event_name_the_recipe() -> None:
    """A coil that none fits is observed and not assessed; the next one has its recipe in its record."""
    none = track_rules(mode="observe", no_recipe=True, reference="0" * 12)
    soft = track_rules(recipe="soft", recipe_hash="ab12", reference="0" * 12)
    items: list[Any] = [CoilChange(NOON, "A"), inspected(make_frame(0, first_line=0), make_defect())]
    state, bodies = track_all(items, none)
    later: list[Any] = [CoilChange(NOON, "B"), inspected(make_frame(1, first_line=400), make_defect())]
    after, more = track_all(later, soft, state)

    [defect] = [body for body in bodies if isinstance(body, DefectMessage)]
    assert (defect.recipe, defect.why.rule) == (None, "mode")
    assert {body.recipe_hash for body in more if isinstance(body, AlarmMessage)} == {"ab12"}
    assert state.coil is not None
    assert after.coil is not None
    assert [(one.assessed, one.not_assessed) for one in after.ended] == [(False, NO_RECIPE)]
    assert (after.coil.recipe, after.coil.recipe_hash) == ("soft", "ab12")


def test_what_closes_with_a_coil_names_its_recipe() -> None:
    """Also where the coil's end is seen under the next one's recipe."""
    rules = track_rules(mm_per_px=1.0, recipe="soft", recipe_hash="ab12")
    marks: list[Any] = [CoilChange(NOON, "A")]
    marks += [inspected(make_frame(n, first_line=n * 1500), make_defect("rust")) for n in range(8)]
    state, _ = track_all(marks, rules)
    _, bodies = track_all([CoilChange(NOON, None), Tick(NOON + timedelta(hours=1))], track_rules(mm_per_px=1.0), state)

    [closed] = [body for body in bodies if isinstance(body, PeriodicMessage)]
    assert (closed.phase, closed.coil_id, closed.recipe, closed.recipe_hash) == ("closed", "A", "soft", "ab12")
