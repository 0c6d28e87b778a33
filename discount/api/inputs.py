"""What comes in: bodies, query parameters and parts of the path, checked, refused with the place and the reason."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader, BytesIO, RawIOBase
from typing import Any, cast

import msgspec
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header
from werkzeug.wsgi import LimitedStream, get_input_stream

from discount.api.json_text import malformed, refuse_repeated_names
from discount.api.problems import NotRead
from discount.domain import errors, reasons

#: The largest body that an ordinary operation takes, in bytes.
SMALL_BODY = 64 * 1024
UTF_8 = "utf-8"
# Charsets that a text may have, and what Python calls them. In each of them a line ends as in ASCII.
_CHARSETS = {
    UTF_8: UTF_8,
    "us-ascii": UTF_8,
    "iso-8859-1": "iso8859-1",
    "iso-8859-15": "iso8859-15",
    "windows-1252": "cp1252",
}
#: Media types of a form's fields.
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_JSON = "application/json"
# The most fields that a form may have, and how much of a parameter's name is repeated.
_FIELDS = 100
_LONGEST_NAME = 200
#: The most items that any list of a body may have.
MOST_ITEMS = 10_000
#: How much of a body that is too large is read to let the client see the answer; past that it is cut off.
DISCARDED = 128 * 1024 * 1024


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
            raise _invalid(error, kind, raw) from None
        except (ValueError, RecursionError) as error:
            raise malformed(error, raw) from None
        # The decoder lets the last of two equal names win. An escape could hide one, so it is looked at as well.
        if b"\\" in raw or any(raw.count(name) > 1 for name in names):
            refuse_repeated_names(raw)
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
            raise errors.Invalid(*reasons.explain(error, kind, given, text=media_type != _JSON)) from None

    return read


def _read_object(raw: bytes) -> Any:
    try:
        given = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise malformed(error, raw) from None
    refuse_repeated_names(raw)
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
            raise errors.Invalid(f"/{reasons.escape(name)}", "stands twice")
    return form.to_dict()


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that is read bit by bit: its media type without parameters, its bytes, and how its text is encoded."""

    media_type: str
    stream: BufferedReader
    encoding: str


@contextmanager
def open_upload(environ: dict[str, Any], media_types: tuple[str, ...], max_body: int) -> Iterator[Upload]:
    """A body to be read as it comes in; what is left of it at the end is read to let the client see the answer.

    Raises:
        NotRead: it is of another type, or declared too large. One that turns out too large ends the reading with 413.
    """
    media_type = _media_type(environ, media_types)
    encoding = _encoding(environ, media_type)
    length = _length(environ)
    if length is not None and length > max_body:
        _discard(environ["wsgi.input"], length)
        raise _too_large(max_body)
    # Where the server ends the input itself, the framework takes a connection that was cut for the end of the body,
    # and half a line for a line.
    stream = (
        get_input_stream(environ, max_content_length=max_body)
        if length is None
        else LimitedStream(environ["wsgi.input"], length)
    )
    upload = Upload(media_type, BufferedReader(cast("RawIOBase", stream), SMALL_BODY), encoding)
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


def _encoding(environ: dict[str, Any], media_type: str) -> str:
    """What Python calls the charset that Content-Type names; UTF-8 where it names none."""
    given = parse_options_header(environ["CONTENT_TYPE"])[1].get("charset", UTF_8).strip().lower()
    # JSON is UTF-8 (RFC 8259).
    taken = {UTF_8: UTF_8} if media_type == _JSON else _CHARSETS
    if given not in taken:
        raise NotRead("unsupported-media-type", f"The charset of {media_type} may be {' or '.join(taken)}.")
    return taken[given]


def _read_body(environ: dict[str, Any], max_body: int) -> bytes:
    stream = environ["wsgi.input"]
    length = _length(environ)
    if length is not None:
        if length <= max_body:
            return _read_whole(stream, length)
        _discard(stream, length)
    elif environ.get("wsgi.input_terminated"):
        raw = _read_some(stream, max_body + 1)
        if len(raw) <= max_body:
            return raw
        _discard(stream, DISCARDED)
    else:
        return b""
    raise _too_large(max_body)


def _read_whole(stream: Any, length: int) -> bytes:
    """A body of a declared length; what was cut off on its way is not taken for whole."""
    raw = _read_some(stream, length)
    if len(raw) < length:
        raise NotRead("bad-request", f"The body ends after {len(raw):,} bytes; Content-Length says {length:,}.")
    return raw


def _read_some(stream: Any, most: int) -> bytes:
    try:
        raw: bytes = stream.read(most)
    except errors.TooSlow:
        raise NotRead("too-slow", "The body came too slowly; 2,000 bytes a second are the least.") from None
    except OSError:
        # The server's own errors of reading are of this kind too.
        raise NotRead("bad-request", "The body broke off before its end.") from None
    return raw


def _too_large(max_body: int) -> NotRead:
    return NotRead("too-large", f"The body may be at most {max_body:,} bytes.")


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


def _invalid(error: msgspec.ValidationError, kind: Any, raw: bytes) -> errors.Invalid:
    try:
        given = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        # The fault stands before the place where the rest stops being JSON.
        given = None
    return errors.Invalid(*reasons.explain(error, kind, given))


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
        raise errors.Invalid(name, reasons.explain(error, kind, value, text=True)[1]) from None


def read_fields(given: Mapping[str, Any], kind: type) -> Any:
    """Fields that came as text as that shape.

    Raises:
        Invalid: with the field's name.
    """
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        pointer, reason = reasons.explain(error, kind, given, text=True)
        raise errors.Invalid(pointer.lstrip("/"), reason) from None


def read_query(kind: type | None) -> Any:
    """The query parameters as that shape; with None there may be none.

    Raises:
        Invalid: with the parameter's name.
    """
    from flask import request  # noqa: PLC0415 - see the contract

    if kind is None:
        if request.environ.get("QUERY_STRING"):
            name = next(iter(request.args), "query")
            raise errors.Invalid(name[:_LONGEST_NAME], "is not a parameter of this address")
        return None
    given = request.args.to_dict(flat=False)
    known: tuple[str, ...] = kind.__struct_fields__  # type: ignore[attr-defined]
    for name, several in given.items():
        if name not in known:
            raise errors.Invalid(name[:_LONGEST_NAME], f"is not a parameter of this address; {reasons.choose(known)}")
        if len(several) > 1:
            raise errors.Invalid(name, "stands twice")
    return read_fields({name: several[0] for name, several in given.items()}, kind)
