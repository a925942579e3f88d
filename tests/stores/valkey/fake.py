"""``FakeValkey``: the functions of the store, the real ones, on a server made of a few dictionaries.

They run in a Lua 5.1 of their own, as on the server, and all time is the test's. What is here is as much of the
server's commands as the functions use; whatever else they try is an error. ``crash`` loses what was not yet written.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from lupa.lua51 import LuaRuntime, lua_type  # type: ignore[import-untyped]

from pexecutor.stores.valkey.library import read_functions

Listener = Callable[[str], None]

_CHOICES: dict[str, Callable[[float, float], float]] = {"GT": max, "LT": min}


class RefusedCall(Exception):  # noqa: N818  # what the server calls an error reply
    """What a function refuses a call with."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text.decode())


class FakeValkey:
    """A server with its data.

    Parameters:
        now: its clock, in seconds since 1970.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lives = 0
        self.data: dict[str, Any] = {}
        self._written: dict[str, Any] = {}
        self.listeners: list[Listener] = []
        self.start()

    def start(self) -> None:
        """Begin another life, with the data as it is."""
        self._lives += 1
        self._functions: dict[str, Any] = {}
        self._lua = LuaRuntime(encoding=None, unpack_returned_tuples=True)
        name, text = read_functions()
        lua = self._lua.globals()
        lua[b"redis"] = self._lua.table_from(
            {b"call": self._call, b"register_function": self._register, b"error_reply": RefusedCall}
        )
        lua[b"cmsgpack"] = self._lua.table_from(
            {b"pack": self._pack, b"unpack": self._unpack, b"unpack_limit": self._unpack_limit}
        )
        lua[b"cjson"] = self._lua.table_from(
            {
                b"encode": lambda value: json.dumps(self._plain(value)).encode(),
                b"decode": lambda text: self._to_lua(msgspec.json.decode(text)),
            }
        )
        self._lua.execute(text.split("\n", 1)[1].encode())
        self._prefix = name

    def write(self) -> None:
        """Have all that was done so far on the disk."""
        self._written = copy.deepcopy(self.data)

    def crash(self) -> None:
        """Die, forget what was not written, and come back."""
        self.data = copy.deepcopy(self._written)
        self.start()

    def fcall(self, verb: str, key: str, arguments: bytes) -> bytes:
        """Call a function.

        Raises:
            RefusedCall: by an answer of its own.
        """
        callback = self._functions[f"{self._prefix}_{verb}"]
        reply = callback(self._lua.table(key.encode()), self._lua.table(arguments))
        if isinstance(reply, RefusedCall):
            raise reply
        assert isinstance(reply, bytes)
        return reply

    # Between Lua and Python

    def _register(self, described: Any) -> None:
        self._functions[described[b"function_name"].decode()] = described[b"callback"]

    def _pack(self, *values: Any) -> bytes:
        return b"".join([msgspec.msgpack.encode(self._plain(value)) for value in values])

    def _unpack(self, packed: bytes) -> Any:
        return self._to_lua(msgspec.msgpack.decode(packed))

    def _unpack_limit(self, packed: bytes, limit: int, offset: int) -> Any:
        """What a list is made of: it is read from behind its head."""
        values = msgspec.msgpack.decode(packed)
        assert (limit, offset) == (len(values), 3), "a list of this layout is read whole"
        return (-1, *[self._to_lua(value) for value in values])

    def _plain(self, value: Any) -> Any:
        if lua_type(value) == "table":
            items = dict(value.items())
            if all(isinstance(index, int) for index in items):
                return [self._plain(items[index]) for index in range(1, len(items) + 1)]
            return {field.decode(): self._plain(one) for field, one in items.items()}
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    def _to_lua(self, value: Any) -> Any:
        if isinstance(value, list):
            return self._lua.table_from([self._to_lua(one) for one in value])
        if isinstance(value, dict):
            return self._lua.table_from({self._to_lua(field): self._to_lua(one) for field, one in value.items()})
        return value.encode() if isinstance(value, str) else value

    # Commands

    def _call(self, command: bytes, *words: Any) -> Any:
        texts = [_text(word) for word in words]
        reply = getattr(self, f"_{command.decode().lower()}")(*texts)
        if reply is None:
            return False
        return self._as_reply(reply)

    def _as_reply(self, reply: Any) -> Any:
        if isinstance(reply, list):
            return self._lua.table_from([False if word is None else self._as_reply(word) for word in reply])
        if isinstance(reply, dict):
            return self._lua.table_from({field.encode(): self._as_reply(word) for field, word in reply.items()})
        return reply.encode("latin-1") if isinstance(reply, str) else reply

    def _time(self) -> list[str]:
        now = self._now()
        return [str(int(now)), str(int(now % 1 * 1_000_000))]

    def _info(self, section: str) -> str:
        assert section == "server"
        return f"# Server\r\nrun_id:{hashlib.sha1(bytes(self._lives)).hexdigest()}\r\n"

    def _publish(self, channel: str, message: str) -> int:
        for listener in self.listeners:
            listener(message)
        return len(self.listeners)

    def _get(self, key: str) -> str | None:
        value, until = self.data.get(key, (None, 0.0))
        return value if until > self._now() else None

    def _set(self, key: str, value: str, px: str = "PX", milliseconds: str = "inf") -> str:
        assert px == "PX"
        self.data[key] = (value, self._now() + float(milliseconds) / 1000)
        return "OK"

    def _type(self, key: str) -> dict[str, str]:
        """Nobody gives a key of this server another type."""
        return {"ok": "none"}

    def _lpush(self, key: str, value: str) -> int:
        self.data.setdefault(key, []).insert(0, value)
        return len(self.data[key])

    def _ltrim(self, key: str, first: str, last: str) -> str:
        del self.data[key][int(last) + 1 :]
        return "OK"

    def _exists(self, key: str) -> int:
        return int(self._get(key) is not None)

    def _del(self, key: str) -> int:
        return int(self.data.pop(key, None) is not None)

    def _hash(self, key: str) -> dict[str, str]:
        found: dict[str, str] = self.data.setdefault(key, {})
        return found

    def _hkeys(self, key: str) -> list[str]:
        return sorted(self._hash(key))

    def _hlen(self, key: str) -> int:
        return len(self._hash(key))

    def _hexists(self, key: str, field: str) -> int:
        return int(field in self._hash(key))

    def _hscan(self, key: str, cursor: str, count: str, most: str) -> list[Any]:
        """All of it at once, as the server does with what is small."""
        assert (cursor, count) == ("0", "COUNT")
        return ["0", [word for field, value in sorted(self._hash(key).items()) for word in (field, value)]]

    def _zscan(self, key: str, cursor: str, count: str, most: str) -> list[Any]:
        assert (cursor, count) == ("0", "COUNT")
        return ["0", [word for member, score in sorted(self._zset(key).items()) for word in (member, repr(score))]]

    def _hget(self, key: str, field: str) -> str | None:
        return self._hash(key).get(field)

    def _hstrlen(self, key: str, field: str) -> int:
        return len(self._hash(key).get(field, ""))

    def _hmget(self, key: str, *fields: str) -> list[str | None]:
        return [self._hget(key, field) for field in fields]

    def _hset(self, key: str, *words: str) -> int:
        self._hash(key).update(_pairs(words))
        return len(words) // 2

    def _hgetall(self, key: str) -> list[str]:
        return [word for one in sorted(self._hash(key).items()) for word in one]

    def _hsetnx(self, key: str, field: str, value: str) -> int:
        is_new = field not in self._hash(key)
        self._hash(key).setdefault(field, value)
        return int(is_new)

    def _hdel(self, key: str, *fields: str) -> int:
        return sum([self._hash(key).pop(field, None) is not None for field in fields])

    def _hincrby(self, key: str, field: str, by: str) -> int:
        value = int(self._hash(key).get(field, 0)) + int(by)
        self._hash(key)[field] = str(value)
        return value

    def _sadd(self, key: str, member: str) -> int:
        self.data.setdefault(key, set()).add(member)
        return 1

    def _srem(self, key: str, member: str) -> int:
        self.data.setdefault(key, set()).discard(member)
        return 1

    def _sismember(self, key: str, member: str) -> int:
        return int(member in self.data.get(key, ()))

    def _smismember(self, key: str, *members: str) -> list[int]:
        return [self._sismember(key, member) for member in members]

    def _smembers(self, key: str) -> list[str]:
        return sorted(self.data.get(key, ()))

    def _zset(self, key: str) -> dict[str, float]:
        found: dict[str, float] = self.data.setdefault(key, {})
        return found

    def _zadd(self, key: str, *words: str) -> int:
        if words[0] == "XX":
            words = tuple(word for one in _pairs(words[1:]) if one[1] in self._zset(key) for word in one)
            if not words:
                return 0
        choose: Callable[[float, float], float] = _CHOICES.get(words[0], lambda _, score: score)
        before = len(self._zset(key))
        for score, member in _pairs(words[words[0] in ("GT", "LT") :]):
            old = self._zset(key).get(member, float(score))
            self._zset(key)[member] = choose(old, float(score))
        return len(self._zset(key)) - before

    def _zrem(self, key: str, *members: str) -> int:
        return sum([self._zset(key).pop(member, None) is not None for member in members])

    def _zcard(self, key: str) -> int:
        return len(self._zset(key))

    def _zcount(self, key: str, low: str, high: str) -> int:
        return len(self._zrange(key, low, high, "BYSCORE"))

    def _zlexcount(self, key: str, low: str, high: str) -> int:
        return len(self._zrange(key, low, high, "BYLEX"))

    def _zscore(self, key: str, member: str) -> str | None:
        score = self._zset(key).get(member)
        return None if score is None else repr(score)

    def _zrange(self, key: str, first: str, last: str, *options: str) -> list[str]:
        ordered = sorted(((score, member) for member, score in self._zset(key).items()), reverse="REV" in options)
        if "BYLEX" in options:
            chosen = [one for one in ordered if _is_behind(one[1], first) and not _is_behind(one[1], last, or_at=True)]
        elif "BYSCORE" in options:
            low, high = (last, first) if "REV" in options else (first, last)
            chosen = [one for one in ordered if _is_above(one[0], low) and _is_below(one[0], high)]
        else:
            end = int(last)
            chosen = ordered[int(first) : None if end == -1 else end + 1]
        if "LIMIT" in options:
            at = options.index("LIMIT")
            offset, count = int(options[at + 1]), int(options[at + 2])
            chosen = chosen[offset:] if count < 0 else chosen[offset : offset + count]
        if "WITHSCORES" in options:
            return [word for score, member in chosen for word in (member, repr(score))]
        return [member for _, member in chosen]


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    assert words, "commands of nothing are errors"
    return list(zip(words[::2], words[1::2], strict=True))


def _text(word: Any) -> str:
    """An argument as the server gets it: its Lua writes numbers with 17 digits."""
    if isinstance(word, bytes):
        return word.decode("latin-1")  # any bytes, and back again
    return str(word) if isinstance(word, int) else f"{word:.17g}"


def _is_behind(member: str, bound: str, *, or_at: bool = False) -> bool:
    """Whether a member comes after a bound, or is at one that begins with `[`; `-` and `+` are the ends."""
    if bound in ("-", "+"):
        return bound == "-"
    is_at = member == bound[1:] and (bound[0] == "[") != or_at
    return is_at or member > bound[1:]


def _is_above(score: float, bound: str) -> bool:
    return score > float(bound[1:]) if bound.startswith("(") else score >= float(bound)


def _is_below(score: float, bound: str) -> bool:
    return score < float(bound[1:]) if bound.startswith("(") else score <= float(bound)
