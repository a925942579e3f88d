"""``Pages``: iterate over a listing, one page at a time."""

from __future__ import annotations

from collections import deque
from typing import Generic, Self, TypeVar

from .. import requests
from ..decoding import decoded
from .requester import Requester

T = TypeVar("T")


class Pages(Generic[T]):
    """The objects of a listing. The next page is read when the last one is used up."""

    def __init__(self, requester: Requester, request: requests.ApiRequest, kind: type[T]) -> None:
        self._requester = requester
        self._kind = kind
        # Owned by __next__(): the request of the next page, and what is left of the last one.
        self._next: requests.ApiRequest | None = request
        self._page: deque[T] = deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while not self._page:
            if self._next is None:
                raise StopIteration
            reply = self._requester.reply(self._next)
            self._page.extend(decoded(reply.content, list[self._kind]))  # type: ignore[name-defined]
            self._next = requests.next_page(self._next, reply)
        return self._page.popleft()
