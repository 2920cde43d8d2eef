"""Who listens to which topic, and how long messages wait for subscribers that are away. No socket, store or clock.

A broker of MQTT 5 says of each message whether anybody subscribes to it. A topic that ever had subscribers and has none
waits for them, for the grace; after that its messages go unheard. A topic that never had any does not wait. If the
broker lost its memory, the sessions of its consumers are gone with it: then the grace begins anew, and a topic of which
nothing is known counts as one that had subscribers, as long as another one had.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

ASK_AGAIN_S = 0.5
"""Pause between two tries of the first message that waits for its subscribers ..."""
ASK_OTHERS_S = 2.0
"""... and of the first ones of other topics: if all topics have the same consumer, the first message finds it back."""
NEVER = -math.inf
"""In place of the end of a grace: the topic never had subscribers."""


class Turn(Enum):
    """What to do with the next message of a topic."""

    SEND = "send it"
    ASK = "send it, and no other of its topic until the broker has answered"
    PAUSE = "send nothing for now: the answer comes any moment"
    PASS = "leave it where it is"  # noqa: S105 - no password


class Heard(Enum):
    """What the broker's answer says about the topic of a message."""

    HEARD = "subscribers get it"
    WAITS = "it waits for its subscribers"
    UNHEARD = "nobody gets it"


@dataclass(slots=True)
class _Topic:
    """What is known of a topic.

    Attributes:
        had: It had subscribers at some time.
        gone: It has none, and messages do not wait for them.
        until_s: Messages wait until then.
        sure: The broker has answered on this connection.
        asked: A message is under way whose answer decides.
        next_s: When to ask again; 0: at once.
    """

    had: bool = False
    gone: bool = False
    until_s: float | None = None
    sure: bool = False
    asked: bool = False
    next_s: float = 0.0


class Audience:
    """The subscribers of all topics, as far as the broker's answers show them.

    Args:
        grace_s: How long messages wait for subscribers that a topic had.

    Attributes:
        changes: What to remember, by topic: None while it has subscribers, the end of its grace, or `NEVER`; emptied by
            who remembers it.
        forgotten: Topics of which nothing is known any more; emptied likewise.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._topics: dict[str, _Topic] = {}
        self._doubt_until_s = NEVER
        self.changes: dict[str, float | None] = {}
        self.forgotten: set[str] = set()

    def restore(self, known: Mapping[str, float | None], now_s: float) -> None:
        """Take what an earlier process remembered, as in `changes`."""
        for topic, until_s in known.items():
            over = until_s is not None and until_s <= now_s
            end_s = None if until_s is None or over else min(until_s, now_s + self._grace_s)
            self._topics[topic] = _Topic(had=until_s != NEVER, gone=over, until_s=end_s)

    def open(self, now_s: float, lost: bool, doubt_until_s: float = NEVER) -> None:
        """Begin a connection.

        Args:
            now_s: The time.
            lost: The broker has lost its memory since the last one.
            doubt_until_s: Until then, a topic of which nothing is known may have had subscribers.
        """
        self._doubt_until_s = max(doubt_until_s, now_s + self._grace_s if lost else NEVER)
        self.doubt()
        for topic in self._topics.values():
            if lost and topic.had:
                topic.gone, topic.until_s = False, None

    def turn(self, topic: str) -> Turn:
        """Return what to do with the next message of a topic that does not wait."""
        known = self._topics.setdefault(topic, _Topic())
        if known.asked:
            return Turn.PAUSE
        return Turn.SEND if known.sure else Turn.ASK

    def is_asked(self, topic: str) -> bool:
        """Say whether a message is under way whose answer decides about this topic."""
        return topic in self._topics and self._topics[topic].asked

    def had_subscribers(self, topic: str) -> bool:
        """Say whether the topic ever had subscribers."""
        return topic in self._topics and self._topics[topic].had

    def may_ask(self, topic: str, now_s: float, first: bool = True) -> bool:
        """Say whether it is time to try the message that waits for this topic's subscribers once more.

        Args:
            topic: The topic.
            now_s: The time.
            first: Its message is the first of all that wait.
        """
        known = self._topics[topic]
        more_s = 0.0 if first else ASK_OTHERS_S - ASK_AGAIN_S
        return not known.asked and now_s >= known.next_s + more_s

    def ask(self, topic: str) -> None:
        """Note that a message is under way whose answer decides."""
        self._topics.setdefault(topic, _Topic()).asked = True

    def unask(self, topic: str) -> None:
        """Note that the broker's answer decided nothing."""
        if topic in self._topics:
            self._topics[topic].asked = False

    def doubt(self) -> None:
        """Ask anew about each topic, by its next message."""
        for topic in self._topics.values():
            topic.asked = topic.sure = False

    def answer(self, topic: str, matched: bool, now_s: float) -> Heard:
        """Take the broker's answer to a message of a topic."""
        known = self._topics.setdefault(topic, _Topic())
        known.asked, known.sure = False, True
        if matched:
            self._arrive(topic, known)
            return Heard.HEARD
        doubtful = not known.had and not known.gone
        waits = known.had or (now_s < self._doubt_until_s and any(other.had for other in self._topics.values()))
        if known.gone or not waits or self._grace_s <= 0:
            if doubtful:
                self._note(topic, NEVER)
            known.gone = True
            return Heard.UNHEARD
        if known.until_s is None:
            known.until_s = now_s + self._grace_s
            if known.had:
                self._note(topic, known.until_s)
        if now_s >= known.until_s:
            known.gone, known.until_s = True, None
            if doubtful:
                self._note(topic, NEVER)
            return Heard.UNHEARD
        known.next_s = now_s + ASK_AGAIN_S
        return Heard.WAITS

    def _arrive(self, topic: str, known: _Topic) -> None:
        if not known.had or known.gone or known.until_s is not None:
            self._note(topic, None)
            if not known.had or known.gone:  # new ones: they may listen to topics that nobody listened to before
                silent = [name for name, other in self._topics.items() if other.gone and not other.had]
                for name in set(silent) - {topic}:
                    self._topics[name] = _Topic(sure=True)
                    self.changes.pop(name, None)
                    self.forgotten.add(name)
            for other in self._topics.values():
                other.next_s = 0.0
        known.had, known.gone, known.until_s = True, False, None

    def _note(self, topic: str, until_s: float | None) -> None:
        self.changes[topic] = until_s
        self.forgotten.discard(topic)
