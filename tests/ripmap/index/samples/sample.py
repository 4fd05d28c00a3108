"""A store of users."""
from __future__ import annotations

import os.path as osp
from ..base import (Base, Query as Q)  # noqa

LIMIT = 3


class UserStore(Base, metaclass=Meta):
    """Keeps users.

    And more.
    """

    table: str = "users"

    def __init__(self, log: Log | None = None):
        self.log = Logger()

    @cached
    def find(self, id: int) -> User:
        """Find one user."""
        user = User(id)
        user.load()
        self.log.info("looking for %s now" % id)
        with open(osp.join("a", "b")) as handle:
            raise NotFound(f"no user with the id {id} here")

    class Inner:
        def deep(self): return helper(LIMIT)


async def helper(x): return Q(x)
