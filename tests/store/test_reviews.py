"""`inspector.store.reviews`: what people said of defects, in order, and forgotten with them."""

from __future__ import annotations

from fakes import entry

from inspector.messages import DefectMessage
from inspector.store.forget import forget
from inspector.store.reviews import Review
from inspector.store.store import Store


def defect_ids(store: Store, *numbers: int) -> list[str]:
    bodies = store.commit([entry(number, "crack") for number in numbers])
    return [body.defect_id for body in bodies if isinstance(body, DefectMessage)]


def test_the_last_review_holds_and_the_others_stay(store: Store) -> None:
    """Nobody's word is overwritten."""
    one, other = defect_ids(store, 0, 1)
    first = Review(one, 1000, "wrong", "hole", "Ada", "a hole, see the edge", "r-1")
    last = Review(one, 2000, "right")
    for review in (first, Review(other, 1500, "right"), last):
        store.reviews.add(review)

    assert store.reviews.of(one) == [first, last]
    assert [review.reviewed_ms for review in store.reviews.of(other)] == [1500]


def test_reviews_are_forgotten_with_their_defects(store: Store) -> None:
    """What is deleted for privacy takes with it who said what of it; other reviews stay."""
    one, other = defect_ids(store, 0, 5)
    captured_ms = store.reader.recent_defects(1)[0]["timestamp_ms"]
    store.outbox.enable([])
    store.reviews.add(Review(one, 1000, "right", person="Ada"))
    store.reviews.add(Review(other, 1000, "right", person="Bob"))
    forget(store.database, 0, captured_ms, store.outbox.delivered_seq())

    assert (store.reviews.of(one), len(store.reviews.of(other))) == ([], 1)
