"""The complaints about a task's params: the field, like ``params.size``, and a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from .. import validation
from ..limits.defaults import CHARACTERS_SHOWN_MAX
from ..values import exception_text, plain_text
from .contract import Complaint

Given = TypeVar("Given")


def missing(name: str) -> Complaint:
    """Return the complaint that a required parameter is missing."""
    return f"params.{name}", f"`params.{name}` is required"


def unknown(name: str, known: Iterable[str]) -> Complaint:
    """Return the complaint that the handler has no such parameter."""
    shown = name[:CHARACTERS_SHOWN_MAX]
    return f"params.{shown}", validation.unknown("parameter", name, known, none="the handler takes no parameters")


def wrong(name: str, why: str) -> Complaint:
    """Return the complaint that a parameter has an invalid value."""
    return f"params.{name}", f"`params.{name}`: {why}"


def checked(check: Callable[[Given], Complaint | None], given: Given) -> Complaint | None:
    """Return a check's complaint. If the check raises, its exception is the complaint."""
    try:
        complaint = check(given)
    # BaseException, because the operator's own types may raise anything. `check` does not await: no Cancelled arrives.
    except BaseException as error:
        return "params", f"`params`: the handler's check failed: {exception_text(error)}"
    return complaint


def params_complaint(error: msgspec.ValidationError, params_type: type[msgspec.Struct]) -> Complaint:
    """Return the complaint for an error of ``msgspec`` about params."""
    fault = validation.fault_of(error, params_type)
    path = plain_text(fault.path)
    if fault.kind == "missing":
        return missing(path)
    if fault.kind == "unknown":
        return unknown(path, fault.known)
    why = plain_text(fault.why)
    return wrong(path, why) if path else ("params", f"`params`: {why}")
