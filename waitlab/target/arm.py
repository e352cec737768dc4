"""An arm of an experiment whose service is the user's own: what is started for it, and with which setting."""

from dataclasses import replace

from waitlab.errors import LabError
from waitlab.experiment import THEIR_MIX, Arm
from waitlab.target.reading import read
from waitlab.target.settings import PLACEHOLDERS, Choices, Setting
from waitlab.target.target import Request, Target


def of_arm(arm: Arm) -> tuple[Target, Setting]:
    """The target, which asks what the arm asks, and the arm's setting: a knob that it leaves out has the first value of
    its list in lab.toml. LabError 2 where lab.toml cannot be read, or cannot be what the arm wants of it.
    """
    assert arm.described, "an arm with a service of the user's own"
    target = read(arm.described)
    if target.kind == "running" and not target.compose:
        message = f"arm {arm.name!r}: {arm.service} names a service that runs already"
        remedy = "a trial needs processes that are fresh: say service.command, or service.compose"
        raise LabError(message, remedy, 2)
    if target.compose and "cores" in arm.knobs:
        raise LabError(f"arm {arm.name!r}: cores are nothing that {arm.service} can be given", "say cpuset there", 2)
    if arm.request != THEIR_MIX:
        target = replace(target, requests=(_asked(arm, target),), locustfile=None)
    elif target.locustfile:
        _refuse_with_users(arm)
    return target, _setting(arm, target.choices)


def _asked(arm: Arm, target: Target) -> Request:
    """The request of lab.toml with the arm's path, with its method and login, or else a plain GET."""
    known = [one for one in target.requests if one.path == arm.request]
    request = replace(known[0], weight=1.0) if len(known) == 1 else Request(arm.request)
    if arm.load.concurrent and request != Request(arm.request):
        message = f"arm {arm.name!r}: single requests are plain GETs, and {arm.request} is not"
        raise LabError(message, "say users or a rate", 2)
    return request


def _refuse_with_users(arm: Arm) -> None:
    """The users of a locustfile come as they are."""
    for key in ("rate", "think_ms", "victim"):
        if getattr(arm.load, key):
            message = f"arm {arm.name!r}: {key} does not go with the locustfile of {arm.service}"
            raise LabError(message, "it says itself what its users do: say request, or [[requests]] in lab.toml", 2)


def _setting(arm: Arm, choices: Choices) -> Setting:
    for key in PLACEHOLDERS:
        if key in arm.knobs and getattr(choices, key) in ((0,), ("",)):
            message = f"arm {arm.name!r}: {key} changes nothing: {arm.service} has no choices.{key}"
            raise LabError(message, f"put {{{key}}} into its command, and {key} = [...] into [choices]", 2)
    named = {key: arm.knobs[key] for key in PLACEHOLDERS if key in arm.knobs}
    first = {key: getattr(choices, key)[0] for key in PLACEHOLDERS}
    setting = Setting(**{**first, **named})
    plain = choices.plain(setting)
    if plain != setting and "threads" in named:
        message = f"arm {arm.name!r}: a worker of class {setting.worker_class} has one thread, not {setting.threads}"
        raise LabError(message, 'say threads = 1, or worker_class = "gthread"', 2)
    return plain
