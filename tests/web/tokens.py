"""Three tokens, one for each scope, and the server's settings for them."""

from __future__ import annotations

from typing import Final

from pexecutor.access import SCOPES, Scope, hash_token

TOKENS: Final[dict[Scope, str]] = {scope: f"pex_{scope:x<43}" for scope in SCOPES}
UNKNOWN_TOKEN: Final = f"pex_{'unknown':x<43}"

TABLES: Final = {f"{scope}-only": {"sha256": hash_token(token), "scope": scope} for scope, token in TOKENS.items()}


def bearer(token: str) -> dict[str, str]:
    """Return the Authorization header with a token."""
    return {"Authorization": f"Bearer {token}"}
