"""Error formats: the statuses, shapes and sentences in which a dialect answers refusals."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from discount.api import problems
from discount.api.exchange import Reply
from discount.domain.errors import Refusal

#: A sentence, or a function that makes one of the refusal.
Sentence = str | Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """A dialect's rendering of refusals.

    Args:
        shape: the shape of the body, for the OpenAPI document.
        body_of: makes the body of a sentence.
        statuses: by slug, where a status differs from the problem's.
        sentences: by slug, where a sentence differs from the refusal's.
        bare: slugs whose sentence alone is the body.
    """

    shape: Any
    body_of: Callable[[str], Any]
    statuses: Mapping[str, int]
    sentences: Mapping[str, Sentence]
    bare: tuple[str, ...] = ()

    def with_slugs(self, **changes: tuple[int, Sentence | None]) -> "ErrorFormat":
        """Return a copy with other statuses and sentences for some slugs, in which `_` stands for `-`.

        With None as its sentence, a slug keeps the one that it has.
        """
        by_slug = {name.replace("_", "-"): change for name, change in changes.items()}
        statuses = {slug: status for slug, (status, _) in by_slug.items()}
        sentences = {slug: sentence for slug, (_, sentence) in by_slug.items() if sentence is not None}
        return replace(self, statuses={**self.statuses, **statuses}, sentences={**self.sentences, **sentences})

    def bare_for(self, shape: Any, *slugs: str) -> "ErrorFormat":
        """Return a copy that answers these slugs with their sentence alone."""
        return replace(self, shape=shape, bare=slugs)

    def status(self, slug: str) -> int:
        """Return the status with which a slug is answered."""
        return self.statuses.get(slug, problems.STATUS[slug])

    def render(self, refusal: Refusal, environ: Mapping[str, Any]) -> Reply:
        """Render a refusal, with the headers that its problem would have."""
        headers = [
            header
            for header in problems.render(refusal, environ).headers
            if header[0] not in ("Content-Type", "Content-Language")
        ]
        sentence = self.sentences.get(refusal.slug, str(refusal).removeprefix("/"))
        if not isinstance(sentence, str):
            sentence = sentence(refusal)
        body = msgspec.json.encode(sentence if refusal.slug in self.bare else self.body_of(sentence))
        return Reply(body, self.status(refusal.slug), [("Content-Type", "application/json"), *headers])
