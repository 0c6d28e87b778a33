"""What comes in: bodies, query parameters and parts of the path, checked, refused with the place and the reason."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader, BytesIO, RawIOBase
from typing import Any, cast

import msgspec
from flask import request
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header
from werkzeug.wsgi import LimitedStream, get_input_stream

from discount import errors
from discount.api.problems import NotRead

#: The largest body that an ordinary operation takes, in bytes.
SMALL_BODY = 64 * 1024
#: Media types of a form's fields.
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_JSON = "application/json"
# The most fields that a form may have.
_FIELDS = 100
#: The most items that any list of a body may have.
MOST_ITEMS = 10_000
#: How much of a body that is too large is read to let the client see the answer; past that it is cut off.
DISCARDED = 128 * 1024 * 1024
_TYPES = {
    "int": "an integer",
    "float": "a number with a fraction",
    "str": "a string",
    "object": "an object",
    "array": "a list",
    "bool": "true or false",
    "datetime": "a time",
}


def body_reader(kind: type, max_body: int, *, bare: bool = False) -> Callable[[dict[str, Any]], Any]:
    """A function that takes a WSGI environment and gives its body as that shape; `bare` lets it be left out.

    Raises (the function):
        NotRead: it is not declared as JSON, or too large.
        Malformed: it is not JSON.
        Invalid: a field is missing, unknown, of another type, out of bounds, or there twice.
    """
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(kind).decode
    _, shapes = msgspec.json.schema_components([kind])
    names = [b'"%s"' % name.encode() for shape in shapes.values() for name in shape.get("properties", ())]

    def read(environ: dict[str, Any]) -> Any:
        if bare and not _length(environ) and not environ.get("HTTP_TRANSFER_ENCODING"):
            return kind()
        _media_type(environ, (_JSON,))
        raw = _read_body(environ, max_body)
        if len(raw) > SMALL_BODY:
            _refuse_long_lists(raw)
        try:
            decoded = decode(raw)
        except msgspec.ValidationError as error:
            raise _invalid(_with_index(str(error), raw, kind)) from None
        except UnicodeDecodeError:
            raise errors.Malformed("The body is not UTF-8.") from None
        except (ValueError, RecursionError) as error:
            raise errors.Malformed(f"{error}.") from None
        # The decoder lets the last of two equal names win. An escape could hide one, so it is looked at as well.
        if b"\\" in raw or any(raw.count(name) > 1 for name in names):
            _refuse_repeated_names(raw)
        return decoded

    return read


def _refuse_long_lists(raw: bytes) -> None:
    # To check each of a million elements takes a second, in which no other thread of the process gets on.
    try:
        given = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return
    for name, several in given.items() if isinstance(given, dict) else ():
        if isinstance(several, list) and len(several) > MOST_ITEMS:
            raise errors.Invalid(f"/{name[:200]}", f"has {len(several):,} entries; 1 to {MOST_ITEMS:,} are allowed")


def form_reader(kind: type, max_body: int) -> Callable[[dict[str, Any]], Any]:
    """The same for a body that may also be a form; numbers may stand there as text, in JSON too.

    Raises (the function):
        NotRead: it is neither declared as JSON nor as a form, or too large.
        Malformed: it is not what it is declared as.
        Invalid: a field is missing, of another type, out of bounds, or there twice.
    """

    def read(environ: dict[str, Any]) -> Any:
        media_type = _media_type(environ, (_JSON, *FORMS))
        raw = _read_body(environ, max_body)
        given = _read_object(raw) if media_type == _JSON else _read_form(environ, raw)
        try:
            return msgspec.convert(given, kind, strict=False)
        except msgspec.ValidationError as error:
            raise _invalid(str(error)) from None

    return read


def _read_object(raw: bytes) -> Any:
    try:
        given = msgspec.json.decode(raw)
    except UnicodeDecodeError:
        raise errors.Malformed("The body is not UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise errors.Malformed(f"{str(error).partition(' - at ')[0]}.") from None
    _refuse_repeated_names(raw)
    return given


def _read_form(environ: dict[str, Any], raw: bytes) -> dict[str, str]:
    media_type, options = parse_options_header(environ["CONTENT_TYPE"])
    parser = FormDataParser(max_form_memory_size=len(raw), max_form_parts=_FIELDS, silent=False)
    try:
        form = parser.parse(BytesIO(raw), media_type.lower(), len(raw), options)[1]
    except (ValueError, HTTPException):
        raise errors.Malformed("The body is not a form.") from None
    for name, several in form.lists():
        if len(several) > 1:
            raise errors.Invalid(f"/{name[:200]}", "stands twice")
    return form.to_dict()


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that is read bit by bit: its media type without parameters, and its bytes."""

    media_type: str
    stream: BufferedReader


@contextmanager
def open_upload(environ: dict[str, Any], media_types: tuple[str, ...], max_body: int) -> Iterator[Upload]:
    """A body to be read as it comes in; what is left of it at the end is read to let the client see the answer.

    Raises:
        NotRead: it is of another type, or declared too large. One that turns out too large ends the reading with 413.
    """
    media_type = _media_type(environ, media_types)
    length = _length(environ)
    if length is not None and length > max_body:
        _discard(environ["wsgi.input"], length)
        raise NotRead("too-large", f"It may have {max_body} bytes.")
    # Where the server ends the input itself, the framework takes a connection that was cut for the end of the body,
    # and half a line for a line.
    stream = (
        get_input_stream(environ, max_content_length=max_body)
        if length is None
        else LimitedStream(environ["wsgi.input"], length)
    )
    upload = Upload(media_type, BufferedReader(cast("RawIOBase", stream), SMALL_BODY))
    try:
        yield upload
    finally:
        # A client that went away, or a body that never ends.
        with suppress(HTTPException):
            _discard(upload.stream, DISCARDED)


def _media_type(environ: dict[str, Any], expected: tuple[str, ...]) -> str:
    given: str = environ.get("CONTENT_TYPE", "")
    media_type = given if given in expected else given.partition(";")[0].strip().lower()
    if media_type not in expected:
        raise NotRead("unsupported-media-type", f"Content-Type is {given or 'missing'}, not {' or '.join(expected)}.")
    return media_type


def _read_body(environ: dict[str, Any], max_body: int) -> bytes:
    stream = environ["wsgi.input"]
    length = _length(environ)
    if length is not None:
        if length <= max_body:
            raw: bytes = stream.read(length)
            return raw
        _discard(stream, length)
    elif environ.get("wsgi.input_terminated"):
        raw = stream.read(max_body + 1)
        if len(raw) <= max_body:
            return raw
        _discard(stream, DISCARDED)
    else:
        return b""
    raise NotRead("too-large", f"It may have {max_body} bytes.")


def _length(environ: dict[str, Any]) -> int | None:
    length = environ.get("CONTENT_LENGTH")
    if not length:
        return None
    if not (length.isascii() and length.isdecimal()):
        raise NotRead("bad-request", "Content-Length is not a number.")
    return int(length)


def _discard(stream: Any, length: int) -> None:
    """Read what will not be used: a client that is still sending does not look for the answer.

    What has not come yet, the server reads after the answer.
    """
    left = min(length, DISCARDED)
    with suppress(OSError):
        while left > 0 and (piece := stream.read(min(left, SMALL_BODY))):
            left -= len(piece)


def _refuse_repeated_names(raw: bytes) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(pairs)
        if len(seen) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise errors.Invalid(f"/{twice}", "stands twice")
        return seen

    json.loads(raw, object_pairs_hook=once)


def _with_index(message: str, raw: bytes, kind: type) -> str:
    """msgspec's sentence with the number of the list's element, which it leaves out."""
    name = message.rpartition("`$.")[2].partition("[...]")[0]
    if "[...]" not in message:
        return message
    given = msgspec.json.decode(raw)
    for index, element in enumerate(given[name]):
        try:
            msgspec.convert(given | {name: [element]}, kind)
        except msgspec.ValidationError:
            return message.replace("[...]", f".{index}", 1)
    return message


# msgspec's sentences, and ours.
_SENTENCES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"Expected `\w+` >= (\S+)", lambda found: f"is less than {found[1]}"),
    (r"Expected `\w+` <= (\S+)", lambda found: f"is more than {found[1]}"),
    (r"Expected `\w+` of length >= (\d+)", lambda found: f"is shorter than {found[1]}"),
    (r"Expected `\w+` of length <= (\d+)", lambda found: f"is longer than {found[1]}"),
    (r"Expected `\w+` matching regex .*", lambda _: "has a character that is not allowed, or a blank at an end"),
    (r"Expected `datetime` with a timezone component", lambda _: "has no offset from UTC"),
    (r"Invalid RFC3339 encoded datetime", lambda _: "is not a time in RFC 3339"),
    (r"Invalid RFC3339 encoded date", lambda _: "is not a date, as 2026-12-24 is"),
    (r"Invalid decimal string", lambda _: "is not a decimal number"),
    (r"Invalid enum value (.*)", lambda found: f"cannot be {found[1]}"),
    (r"Expected `(.+?)`, got `(.+?)`", lambda found: f"is {_kinds(found[2])}, not {_kinds(found[1])}"),
)


def _kinds(names: str) -> str:
    return " or ".join(_TYPES.get(name.strip(), name.strip()) for name in names.split("|"))


def _invalid(message: str) -> errors.Invalid:
    """msgspec's sentence as a field and a reason."""
    reason, _, path = message.partition(" - at `$")
    pointer = re.sub(r"\[(\d+)\]", r"/\1", path.rstrip("`").replace(".", "/"))
    named = re.fullmatch(r"Object (missing required|contains unknown) field `(.*)`", reason, re.DOTALL)
    if named:
        word = "is missing" if named[1].startswith("missing") else "is not a field of this request"
        return errors.Invalid(f"{pointer}/{named[2][:200].replace('~', '~0').replace('/', '~1')}", word)
    for pattern, sentence in _SENTENCES:
        found = re.fullmatch(pattern, reason, re.DOTALL)
        if found:
            return errors.Invalid(pointer, sentence(found))
    return errors.Invalid(pointer, reason[:1].lower() + reason[1:])


def idempotency_key(environ: Mapping[str, Any]) -> str | None:
    """The request's Idempotency-Key, if it has one.

    Raises:
        Invalid: with the header's name.
    """
    key: str | None = environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable() and " " not in key):
        raise errors.Invalid("Idempotency-Key", "is not 1 to 255 visible ASCII characters")
    return key


def address_of(environ: Mapping[str, Any], proxies: int) -> str:
    """The address that asks: the peer's, or the one that the outermost of our proxies names.

    What stands before that in X-Forwarded-For is the caller's own word, and is not believed.
    """
    if proxies:
        named = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
        return str(named[-min(proxies, len(named))]).strip()
    return str(environ.get("REMOTE_ADDR", ""))


def read_part(value: str, kind: Any, name: str) -> Any:
    """A part of the path as that type.

    Raises:
        Invalid: with the part's name.
    """
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        invalid = _invalid(str(error))
        raise errors.Invalid(name, invalid.facts["errors"][0]["detail"]) from None


def read_fields(given: Mapping[str, Any], kind: type) -> Any:
    """Fields that came as text as that shape.

    Raises:
        Invalid: with the field's name.
    """
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        invalid = _invalid(str(error)).facts["errors"][0]
        raise errors.Invalid(invalid["pointer"].lstrip("/"), invalid["detail"]) from None


def read_query(kind: type | None) -> Any:
    """The query parameters as that shape; with None there may be none.

    Raises:
        Invalid: with the parameter's name.
    """
    if kind is None:
        if request.environ.get("QUERY_STRING"):
            raise errors.Invalid(next(iter(request.args), "query"), "is not a parameter of this address")
        return None
    given = request.args.to_dict(flat=False)
    for name, several in given.items():
        if name not in kind.__struct_fields__:  # type: ignore[attr-defined]
            raise errors.Invalid(name, "is not a parameter of this address")
        if len(several) > 1:
            raise errors.Invalid(name, "stands twice")
    return read_fields({name: several[0] for name, several in given.items()}, kind)
