"""Read and check bodies, query parameters and parts of the path. A refusal names the field and the reason."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import BufferedReader, BytesIO, RawIOBase
from typing import Any, NoReturn, cast

import msgspec
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header
from werkzeug.wsgi import LimitedStream, get_input_stream

from discount.api.json_text import SizeCheck, malformed, refuse_repeated_names
from discount.api.problems import BadRequest, BodyTooSlow, NotRead, TooLarge, UnsupportedMediaType
from discount.domain import errors, reasons
from discount.services import slices

#: The largest body of an ordinary operation, in bytes.
SMALL_BODY = 64 * 1024
UTF_8 = "utf-8"
# Accepted charsets, with Python's names for them. In each of them a line ends as in ASCII.
_CHARSETS = {
    UTF_8: UTF_8,
    "us-ascii": UTF_8,
    "iso-8859-1": "iso8859-1",
    "iso-8859-15": "iso8859-15",
    "windows-1252": "cp1252",
}
JSON = "application/json"
#: Media types of a form's fields.
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
JSON_OR_FORM = (JSON, *FORMS)
# The most fields of a form.
_MAX_FIELDS = 100
# The most characters of an unknown parameter's name that a refusal repeats.
_LONGEST_NAME = 200
#: Bytes of a refused body that are read and dropped, so that the client sees the answer. After them it is cut off.
DISCARDED = 128 * 1024 * 1024


def body_reader(kind: type, max_body: int, *, optional: bool = False) -> Callable[[dict[str, Any]], Any]:
    """Return a function that reads the JSON body of a WSGI environment as that shape.

    With `optional` the body may be left out.

    Raises (the function):
        NotRead: it is not declared as JSON, is too large, or breaks off.
        Malformed: it is not JSON.
        Invalid: a field is missing, unknown, of another type, out of bounds, or given twice.
    """
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(kind).decode
    names = _quoted_names(kind)

    def read(environ: dict[str, Any]) -> Any:
        if optional and not _length(environ) and not environ.get("HTTP_TRANSFER_ENCODING"):
            return kind()
        _media_type(environ, (JSON,))
        raw = _read_body(environ, max_body)
        try:
            decoded = decode(raw)
        except msgspec.ValidationError as error:
            raise _invalid(error, kind, raw) from None
        except (ValueError, RecursionError) as error:
            raise malformed(error, raw) from None
        # The decoder silently keeps the last of two equal names. With one colon there is one name.
        if raw.count(b":") > 1:
            # An escape could hide a name.
            if b"\\" in raw:
                refuse_repeated_names(raw)
            for name in names:
                if raw.count(name) > 1:
                    refuse_repeated_names(raw)
        return decoded

    return read


@cache
def _quoted_names(kind: type) -> list[bytes]:
    """Return the names of all fields of a shape and of the shapes in it, as JSON writes them."""
    _, shapes = msgspec.json.schema_components([kind])
    return [b'"%s"' % name.encode() for shape in shapes.values() for name in shape.get("properties", ())]


def form_reader(kind: type, max_body: int) -> Callable[[dict[str, Any]], Any]:
    """Return a function that reads a JSON body or a form as that shape. Numbers may be text, in JSON too.

    Raises (the function):
        NotRead: it is declared neither as JSON nor as a form, is too large, or breaks off.
        Malformed: it is not of the declared type.
        Invalid: a field is missing, of another type, out of bounds, or given twice.
    """

    def read(environ: dict[str, Any]) -> Any:
        media_type = _media_type(environ, JSON_OR_FORM)
        raw = _read_body(environ, max_body)
        given = _read_object(raw) if media_type == JSON else _read_form(environ, raw)
        try:
            return msgspec.convert(given, kind, strict=False)
        except msgspec.ValidationError as error:
            raise errors.Invalid(*reasons.explain(error, kind, given, text=media_type != JSON)) from None

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
    parser = FormDataParser(max_form_memory_size=len(raw), max_form_parts=_MAX_FIELDS, silent=False)
    try:
        form = parser.parse(BytesIO(raw), media_type.lower(), len(raw), options)[1]
    except (ValueError, HTTPException):
        raise errors.Malformed("The body is not a form.") from None
    for name, values in form.lists():
        if len(values) > 1:
            raise errors.Invalid(f"/{reasons.escape(name)}", "is given twice")
    return form.to_dict()


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that its view reads as it arrives: the media type without parameters, the bytes, the text's encoding."""

    media_type: str
    stream: BufferedReader
    encoding: str


@contextmanager
def open_upload(environ: dict[str, Any], media_types: tuple[str, ...], max_body: int) -> Iterator[Upload]:
    """Yield a body to be read as it arrives. The rest is dropped at the end, so that the client sees the answer.

    Raises:
        NotRead: it is of another type, or declared too large. Reading past `max_body` ends with 413.
    """
    media_type = _media_type(environ, media_types)
    encoding = _encoding(environ, media_type)
    length = _length(environ)
    if length is not None and length > max_body:
        _discard(environ["wsgi.input"], length)
        raise _too_large(max_body)
    # Where the server ends the input itself, the framework takes a broken connection for the end of the body. Then
    # half a line would pass for a whole one.
    stream = (
        get_input_stream(environ, max_content_length=max_body)
        if length is None
        else LimitedStream(environ["wsgi.input"], length)
    )
    upload = Upload(media_type, BufferedReader(cast("RawIOBase", stream), SMALL_BODY), encoding)
    try:
        yield upload
    finally:
        # The client has gone, or the body never ends.
        with suppress(HTTPException):
            _discard(upload.stream, DISCARDED)


def _media_type(environ: dict[str, Any], expected: tuple[str, ...]) -> str:
    given: str = environ.get("CONTENT_TYPE", "")
    media_type = given if given in expected else given.partition(";")[0].strip().lower()
    if media_type not in expected:
        raise UnsupportedMediaType(f"Content-Type is {given or 'missing'}; it must be {' or '.join(expected)}.")
    return media_type


def _encoding(environ: dict[str, Any], media_type: str) -> str:
    """Return Python's name of the charset in Content-Type; UTF-8 if it names none."""
    given = parse_options_header(environ["CONTENT_TYPE"])[1].get("charset", UTF_8).strip().lower()
    # JSON is UTF-8 (RFC 8259).
    accepted = {UTF_8: UTF_8} if media_type == JSON else _CHARSETS
    if given not in accepted:
        raise UnsupportedMediaType(f"The charset of {media_type} must be {' or '.join(accepted)}.")
    return accepted[given]


def _read_body(environ: dict[str, Any], max_body: int) -> bytes:
    whole: bytes | None = environ.get("discount.body")
    if whole is not None and len(whole) <= max_body:
        # The server has received it, and its length is right.
        return whole
    stream = environ["wsgi.input"]
    length = _length(environ)
    if length is not None:
        if length <= max_body:
            return _read_whole(stream, length)
        _discard(stream, length)
    elif environ.get("wsgi.input_terminated"):
        raw = _read_in_slices(stream, max_body + 1)
        if len(raw) <= max_body:
            return raw
        _discard(stream, DISCARDED)
    else:
        return b""
    raise _too_large(max_body)


def _read_whole(stream: Any, length: int) -> bytes:
    """Read a body of a declared length.

    Raises:
        BadRequest: it is shorter than declared.
    """
    raw = _read_in_slices(stream, length)
    if len(raw) < length:
        raise BadRequest(f"The body ends after {len(raw):,} bytes; Content-Length says {length:,}.")
    return raw


def _read_in_slices(stream: Any, most: int) -> bytes:
    """Read at most so many bytes; of a large body, which is JSON, check the size of each slice.

    Raises:
        Invalid: a list is too long.
    """
    raw = _read_up_to(stream, min(most, SMALL_BODY))
    if most <= SMALL_BODY or len(raw) < SMALL_BODY:
        return raw
    check, pieces, left = SizeCheck(), [raw], most - len(raw)
    check.add(raw)
    while left > 0 and (piece := _read_up_to(stream, min(left, SMALL_BODY))):
        check.add(piece)
        pieces.append(piece)
        left -= len(piece)
        slices.between()
    return b"".join(pieces)


def _read_up_to(stream: Any, most: int) -> bytes:
    try:
        raw: bytes = stream.read(most)
    except errors.TooSlow:
        raise BodyTooSlow("The body came too slowly; send at least 2,000 bytes a second.") from None
    except OSError:
        # The server's own read errors are of this kind, too.
        raise BadRequest("The connection broke off before the end of the body.") from None
    return raw


def _too_large(max_body: int) -> NotRead:
    return TooLarge(f"The body may be at most {max_body:,} bytes.")


def _length(environ: dict[str, Any]) -> int | None:
    length = environ.get("CONTENT_LENGTH")
    if not length:
        return None
    if not (length.isascii() and length.isdecimal()):
        raise BadRequest("Content-Length is not a number.")
    return int(length)


def _discard(stream: Any, length: int) -> None:
    """Read and drop a body: a client that is still sending does not look for the answer.

    The server reads what has not arrived yet after the answer.
    """
    left = min(length, DISCARDED)
    with suppress(OSError):
        while left > 0 and (piece := stream.read(min(left, SMALL_BODY))):
            left -= len(piece)


def _invalid(error: msgspec.ValidationError, kind: Any, raw: bytes) -> errors.Invalid:
    try:
        given = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        # The field at fault comes before the point where the body stops being JSON.
        given = None
    return errors.Invalid(*reasons.explain(error, kind, given))


def idempotency_key(environ: Mapping[str, Any]) -> str | None:
    """Return the request's Idempotency-Key, if it has one.

    Raises:
        Invalid: with the header's name.
    """
    key: str | None = environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable() and " " not in key):
        raise errors.Invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
    return key


def address_of(environ: Mapping[str, Any], proxies: int) -> str:
    """Return the client's address: the peer's, or the one that the outermost of our proxies saw.

    Earlier entries of X-Forwarded-For are the client's own claim, and are ignored.
    """
    if proxies:
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
        return str(forwarded[-min(proxies, len(forwarded))]).strip()
    return str(environ.get("REMOTE_ADDR", ""))


def read_part(value: str, kind: Any, name: str) -> Any:
    """Return a part of the path as that type.

    Raises:
        Invalid: with the part's name.
    """
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise errors.Invalid(name, reasons.explain(error, kind, value, text=True)[1]) from None


def read_fields(given: Mapping[str, Any], kind: type) -> Any:
    """Return fields given as text as that shape.

    Raises:
        Invalid: with the field's name.
    """
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        pointer, reason = reasons.explain(error, kind, given, text=True)
        raise errors.Invalid(pointer.lstrip("/"), reason) from None


def read_query(kind: type, query: MultiDict[str, str]) -> Any:
    """Return the query parameters as that shape.

    Raises:
        Invalid: with the parameter's name.
    """
    known: tuple[str, ...] = kind.__struct_encode_fields__  # type: ignore[attr-defined]
    given: dict[str, Any] = {}
    for name, values in query.lists():
        part, dot, entry = name.partition(".")
        if dot and part == "metadata" and part in known and len(values) == 1:
            given.setdefault(part, {})[entry] = values[0]
            continue
        if name == "metadata" or name not in known:
            raise errors.Invalid(name[:_LONGEST_NAME], f"is not a parameter of this address; {reasons.choose(known)}")
        if len(values) > 1:
            raise errors.Invalid(name, "is given twice")
        given[name] = values[0]
    return read_fields(given, kind)


def refuse_query(query: MultiDict[str, str]) -> NoReturn:
    """Refuse the query of an operation that has no parameters.

    Raises:
        Invalid: with the name of the first parameter.
    """
    raise errors.Invalid(next(iter(query), "query")[:_LONGEST_NAME], "is not a parameter of this address")
