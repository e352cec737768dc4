"""An arm in words: what drives it, and how its service is set."""

from collections.abc import Mapping

from waitlab.experiment import Arm, Load

USERS: Mapping[str, str] = {  # what one of them is called, by the kind of client
    "request": "user",
    "sse": "reader of events",
    "websocket": "WebSocket",
    "upload": "slow upload",
    "reader": "slow reader",
    "idle": "idle connection",
}


def load(of: Load) -> str:
    """What drives an arm."""
    if of.concurrent:
        words = _count(of.concurrent, "request") + " at once"
    else:
        words = _count(of.users, USERS[of.client]) if of.users else f"{of.rate:g} arrivals a second"
        thinking = f" who think {of.think_ms} ms" if of.think_ms else ""
        words += f"{thinking}, {of.seconds:g} s"
    victim = f", bystanders at {of.victim}" if of.victim else ""
    beside = f", beside {_count(of.background_users, 'user')} each at " if of.background else ""
    beside += " and ".join(of.background)
    duet = ", in duet" if of.duet else ""
    errors = ", errors expected" if of.expects_errors else ""
    return f"{words}, {_count(of.repeats, 'repeat')}{victim}{beside}{duet}{errors}"


def _count(number: int, name: str) -> str:
    many = name.replace(" of", "s of") if " of" in name else f"{name}s"
    return f"{number} {name if number == 1 else many}"


def configuration(arm: Arm) -> str:
    """The service of an arm as the experiment sets it."""
    knobs = ", ".join(f"{key} {value}" for key, value in arm.knobs.items())
    return f"{arm.service}{f' ({knobs})' if knobs else ''}"
