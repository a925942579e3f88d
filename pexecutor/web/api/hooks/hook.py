"""``Hook``: the settings of one hook, and the task that a delivery to it stands for.

    [hooks.deploy]
    scheme = "github"
    secret = "${GITHUB_SECRET}"
    when = { "header.x-github-event" = "push", "body.ref" = "refs/heads/main" }
    task = { name = "deploy-{body.repository.name}", handler = "deploy", params = { commit = "{body.after}" } }

A delivery is checked in a fixed order: its signature, its time, ``when``, and then the slots. So a sender without the
secret learns nothing about the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from ....errors import ConfigError
from ....handlers.http.secrets import VARIABLE
from ....task import Task
from ....validation import malformed, table_from
from ..decode import decode_task
from ..errors import BadRequestError, UnsupportedMediaTypeError
from .signature import HeaderValues, Scheme, delivery_id, key_of
from .template import AbsentError, DeliverySlot, HookDelivery, TaskTemplate, look_up, parse_slot

BODY_BYTES_MAX: Final = 1024 * 1024
SECRET_CHARACTERS_MIN: Final = 16
FORM_FIELDS_MAX: Final = 1000
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

JSON_TYPE: Final = "application/json"
FORM_TYPE: Final = "application/x-www-form-urlencoded"

Scalar = str | int | float | bool


class HookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A hook's table in the configuration file.

    Parameters:
        scheme: how deliveries are signed; see ``signature.py``.
        secret: the shared secret, or two while it is changed; ``${NAME}`` is replaced by an environment variable.
        task: the task that a delivery submits, with slots; see ``template.py``.
        when: values that a delivery must have, by slot; other deliveries are skipped.
    """

    scheme: Scheme
    secret: str | Annotated[list[str], Meta(min_length=1, max_length=2)]
    task: dict[str, Any]
    when: dict[str, Scalar] = {}


class Arrival(NamedTuple):
    """A delivery whose signature is valid.

    Parameters:
        delivery_id: the id that its sender gave it, or ``None`` if its scheme has none.
        task: the task that it stands for, or why it is skipped.
    """

    delivery_id: str | None
    task: Task | str


class Hook:
    """One hook.

    Parameters:
        name: the name of the hook.
        table: its table; see ``HookSettings``.
        environment: the environment variables that hold secrets.

    Raises:
        ConfigError: the table is invalid. The message names the key, and shows no secret.
    """

    def __init__(self, name: str, table: Any, environment: Mapping[str, str]) -> None:
        where = f"hooks.{name}"
        if NAME.fullmatch(name) is None:
            raise ConfigError(f"invalid hook name {name[:64]!r}: use 1 to 64 letters, digits, - and _")
        settings = table_from(table, HookSettings, where)
        self._scheme: Scheme = settings.scheme
        self._keys = [_key(settings.scheme, secret, environment, f"{where}.secret") for secret in _listed(settings)]
        self._when = [(_condition(text, f"{where}.when"), value) for text, value in settings.when.items()]
        self._template = TaskTemplate(settings.task, f"{where}.task")
        self.handler: Any = settings.task.get("handler", "sleep")
        self.given = frozenset(settings.task)
        """The fields that the task of every delivery has."""

    def arrival(self, headers: HeaderValues, mimetype: str, body: bytes, now: float) -> Arrival:
        """Check a delivery and return the task that it stands for.

        Parameters:
            headers: returns the values of the headers with a name.
            mimetype: the media type of the body.
            body: the body as it was sent.
            now: the time of the server's clock, in seconds since 1970.

        Raises:
            BadSignatureError: no holder of the secret has signed the delivery, or it is too old.
            BadRequestError: the body is invalid, or has no value for a slot.
            UnsupportedMediaTypeError: the body is neither JSON nor a form.
            InvalidTaskError: the filled task is invalid.
        """
        sent_id = delivery_id(self._scheme, self._keys, headers, body, now)
        delivery = HookDelivery(_decoded(body, mimetype, self._scheme), headers)
        for slot, value in self._when:
            if not _is_equal(slot, value, delivery):
                return Arrival(sent_id, f"{slot} is not {msgspec.json.encode(value).decode()}")
        return Arrival(sent_id, decode_task(msgspec.json.encode(self._template.filled(delivery))))


def _listed(settings: HookSettings) -> list[str]:
    return [settings.secret] if isinstance(settings.secret, str) else settings.secret


def _key(scheme: Scheme, secret: str, environment: Mapping[str, str], where: str) -> bytes:
    unset = [name for name in VARIABLE.findall(secret) if not environment.get(name)]
    if unset:
        raise ConfigError(f"{where} needs the environment variable {unset[0]}, which is not set")
    text = VARIABLE.sub(lambda variable: environment[variable[1]], secret)
    if len(text) < SECRET_CHARACTERS_MIN:
        raise ConfigError(
            f"{where} has fewer than {SECRET_CHARACTERS_MIN} characters: make one with `openssl rand -hex 32`"
        )
    try:
        return key_of(scheme, text)
    except ValueError as error:
        raise ConfigError(f"{where} {error}") from error


def _condition(text: str, where: str) -> DeliverySlot:
    slot = parse_slot(text)
    if slot is None:
        raise ConfigError(f"{where}: {text!r} must be body.PATH or header.NAME, such as body.ref")
    return slot


def _is_equal(slot: DeliverySlot, value: Scalar, delivery: HookDelivery) -> bool:
    try:
        found = look_up(slot, delivery)
    except AbsentError:
        return False
    # In JSON, true is not 1.
    return isinstance(found, bool) == isinstance(value, bool) and bool(found == value)


def _decoded(body: bytes, mimetype: str, scheme: Scheme) -> dict[str, Any]:
    """Return the body of a delivery: a JSON object, or the fields of a form."""
    match mimetype:
        case "application/json":
            return _object(body)
        case "application/x-www-form-urlencoded":
            form = _form(body)
            # GitHub can send a form instead of JSON: it has one field, which holds the JSON.
            return _object(form["payload"].encode()) if scheme == "github" and "payload" in form else form
    raise UnsupportedMediaTypeError(f"unsupported Content-Type {mimetype[:100]!r}: send {JSON_TYPE} or {FORM_TYPE}")


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.ValidationError as error:
        raise BadRequestError("the body must be a JSON object") from error
    except (ValueError, RecursionError) as error:
        raise BadRequestError(malformed(error, "the body")) from error


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=FORM_FIELDS_MAX,
        )
    except ValueError as error:
        raise BadRequestError(f"the body is not a form of at most {FORM_FIELDS_MAX} fields: {error}") from error
    form = dict(pairs)
    if len(form) < len(pairs):
        raise BadRequestError("the form gives a field more than once")
    return form
