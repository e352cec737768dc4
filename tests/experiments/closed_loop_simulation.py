"""A queue with S places, simulated event by event: a second opinion on the laws, which shares no line with them."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count


@dataclass
class Queue:
    """First come, first served. Each request holds one of `places` for its own time, and what follows it may come."""

    places: int
    answers: list[tuple[str, float, float]] = field(default_factory=list)  # whose, asked at, answered at

    def run(
        self, arrivals: Iterable[tuple[float, str]], held: Callable[[str], float], again: Callable[[str], float | None]
    ) -> "Queue":
        """`arrivals`: when who asks first. `again`: how long after an answer they ask again; None for never."""
        order = count()
        events = [(at, next(order), who, at, False) for at, who in arrivals]
        heapq.heapify(events)
        waiting: deque[tuple[str, float]] = deque()
        free = self.places
        while events:
            now, _, who, asked, done = heapq.heappop(events)
            if done:
                free += 1
                self.answers.append((who, asked, now))
                rest = again(who) if len(self.answers) < 20_000 else None
                if rest is not None:
                    heapq.heappush(events, (now + rest, next(order), who, now + rest, False))
            else:
                waiting.append((who, asked))
            while free and waiting:
                free -= 1
                who, asked = waiting.popleft()
                heapq.heappush(events, (now + held(who), next(order), who, asked, True))
        return self


def closed_loop(users: int, places: int, wait_s: float, think_s: float) -> tuple[float, float]:
    """Throughput and mean response time of users who come one after the other, in the middle of a long run."""
    arrivals = [(user * (wait_s + think_s) / users, "user") for user in range(users)]
    answers = Queue(places).run(arrivals, lambda _: wait_s, lambda _: think_s).answers
    kept = answers[len(answers) // 2 : -users]
    return len(kept) / (kept[-1][2] - kept[0][2]), sum(answered - asked for _, asked, answered in kept) / len(kept)
