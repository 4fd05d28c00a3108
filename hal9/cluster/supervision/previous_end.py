"""How the daemon that ran in a home before has ended, and which turn is to blame for it."""

from hal9.cluster.home import Home
from hal9.cluster.supervision.watchdog import take_blame
from hal9.journal import PreviousEnd

__all__ = ["previous_end"]


def previous_end(home: Home) -> PreviousEnd:
    """Read, and forget, what the watchdog or `hal9 stop --force` left behind."""
    blame = take_blame(home.state)
    forced = home.forced.exists()
    home.forced.unlink(missing_ok=True)
    if blame.get("turn"):
        reason = f"the event loop stood still in {blame.get('where') or 'an unknown place'}"
        return PreviousEnd(culprit=str(blame["turn"]), reason=reason)
    return PreviousEnd(excused=forced)
