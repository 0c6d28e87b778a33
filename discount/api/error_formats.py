"""How dialects tell refusals: statuses, shapes and sentences of their own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from flask import Response

from discount.api import problems
from discount.api.problems import NotRead
from discount.domain.errors import Refusal


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """A way to tell refusals.

    Args:
        shape: of the answer, for the document.
        say: makes the answer's body of a sentence.
        statuses: of words that have another status here than as a problem.
        sentences: of words that are told in other words here; a function is given the refusal.
        bare: words whose sentence is the whole body.
    """

    shape: Any
    say: Callable[[str], Any]
    statuses: Mapping[str, int]
    sentences: Mapping[str, str | Callable[[Any], str]]
    bare: tuple[str, ...] = ()

    def with_slugs(self, **words: tuple[int, str | Callable[[Any], str] | None]) -> "ErrorFormat":
        """The same voice, but for these words (`_` for `-`): a status, and a sentence where it is not our own."""
        several = {word.replace("_", "-"): told for word, told in words.items()}
        statuses = {word: status for word, (status, _) in several.items()}
        sentences = {word: sentence for word, (_, sentence) in several.items() if sentence is not None}
        return replace(self, statuses={**self.statuses, **statuses}, sentences={**self.sentences, **sentences})

    def bare_for(self, shape: Any, *words: str) -> "ErrorFormat":
        """The same voice, but for these words no more than their sentence is said."""
        return replace(self, shape=shape, bare=words)

    def status(self, word: str) -> int:
        """The status with which a word is told."""
        return self.statuses.get(word, problems.STATUS[word])

    def answer(self, refused: Refusal | NotRead, environ: Mapping[str, Any]) -> Response:
        """The answer to what was refused, with the headers that a problem would have."""
        _, _, headers = problems.render(refused, environ)
        sentence = self.sentences.get(refused.slug, str(refused).removeprefix("/"))
        if not isinstance(sentence, str):
            sentence = sentence(refused)
        kept = [each for each in headers if each[0] != "Content-Type"]
        body = msgspec.json.encode(sentence if refused.slug in self.bare else self.say(sentence))
        return Response(body, self.status(refused.slug), kept, content_type="application/json")
