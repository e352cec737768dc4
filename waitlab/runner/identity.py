"""Whether what answers is what was started: asked at its own front door, and held against the ledger."""

import http.client
import json
import threading
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from waitlab.errors import LabError
from waitlab.rules import OF_ONE_WORKER
from waitlab.runner.service import Serving
from waitlab.runtime import pages
from waitlab.telemetry import names

PATIENCE_SECONDS = 40.0  # under load the question waits where every request does

Entry = dict[str, object]


def ask(serving: Serving) -> Entry:
    """What the service says of itself, with `pids` of the workers that live. LabError when it is another's answer.

    Of several replicas each is asked and held against what was started; what is told is the first one's answer.
    """
    asked = [(one, _about(one.url), sorted(slot.pid for slot in one.live())) for one in serving.each]
    for one, said, pids in asked:
        if faults := list(_faults(one.facts, said, pids)):
            raise LabError(f"not the service that was started: {'; '.join(faults)}", "nothing was measured")
    told = {name: value for name, value in asked[0][1].items() if name not in OF_ONE_WORKER}
    return {**told, "pids": sorted(pid for _, _, pids in asked for pid in pids)}


class Asking:
    """The same question in the middle of a load: asked now, answered when its turn comes."""

    def __init__(self, ask: Callable[[], Entry]) -> None:
        self._question = ask
        self._said: Entry = {}
        self._error = "it did not say in time"
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self._said = self._question()
        except (LabError, OSError) as error:
            self._error = str(error)

    def answer(self) -> Entry:
        """What was said; LabError when it was nothing, or another's."""
        self._thread.join(PATIENCE_SECONDS)
        if not self._said:
            raise LabError(f"who it is under load: {self._error}")
        return self._said


def _about(url: str) -> Entry:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/about", headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read()
        said = json.loads(body) if answer.status == 200 else None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise LabError(f"{url} does not say who it is: {error!r:.120}") from None
    finally:
        connection.close()
    if not isinstance(said, dict):
        raise LabError(f"{url} is another application: it answers {answer.status} to /about")
    return said


def _faults(started: Mapping[str, object], said: Mapping[str, object], pids: list[int]) -> list[str]:
    faults = [
        f"{name} is {said.get(name)!s:.60}, not {value!s:.60}"
        for name, value in started.items()
        if str(said.get(name)) != str(value)
    ]
    if str(len(pids)) != str(started["workers"]):
        faults.append(f"{len(pids)} workers live, not {started['workers']}")
    if said.get("pid") not in pids:
        faults.append(f"process {said.get('pid')} answers, and the workers are {', '.join(map(str, pids))}")
    return faults


def require_metrics(serving: Serving, style: str, workload: str) -> None:
    """LabError unless the workers' own pages and ledger have counted what was asked before the load."""
    shown = 0.0
    for slot in serving.live():
        page = pages.metrics(f"127.0.0.1:{slot.port}", PATIENCE_SECONDS)
        if page is None:
            raise LabError(f"worker {slot.number} does not show its metrics")
        shown += page.total(f"{names.REQUEST_DURATION}_count", style=style, workload=workload)
    completed = sum(slot.completed for slot in serving.slots())
    if not (shown and completed):
        metric = f"{names.REQUEST_DURATION} of /{style}/{workload}"
        raise LabError(f"the service counts nothing: {metric} is {shown:.0f}, its ledger says {completed}")
