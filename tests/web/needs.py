"""The scope that each route needs."""

from __future__ import annotations

from pexecutor.web.routes import TABLE

NEEDS = TABLE.scopes
