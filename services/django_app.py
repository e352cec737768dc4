"""The Django application, in one file and behind two doors: `wsgi` and `asgi` serve the same views.

sync     `def`, a blocking call. WSGI: its worker's thread. ASGI: a thread of the request's own (Django 3.0)
async    `async def`, an awaited call. ASGI: the event loop (3.1); WSGI: a loop of the request's own, its worker waits
blocked  `async def`, a blocking call: the event loop serves nobody meanwhile. The anti-pattern, named as one
bridged  `async def`, `sync_to_async` around a blocking call: how an async view used the ORM before 4.1

The ORM's `aget` and `async for` (4.1) are async/query. Django's own receivers and a synchronous middleware are
settings, since each costs a request a thread. docs/django.md says what to look at.

The lab's guard stands before it: a view is only called for a valid request, with every parameter given.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, cast

import django
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings as django_settings
from django.core.cache import close_caches
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import reset_urlconf
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import Error, close_old_connections, connection, models, reset_queries
from django.db.models.functions import MD5, Cast
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.decorators import sync_and_async_middleware

from services import contract, guard, health, settings
from services.django_routes import get, urlpatterns
from services.lifespan import BesideHttp
from services.workloads import awaiting, blocking, database, streams
from services.workloads.blocking import POSTGRESQL, Answer
from services.workloads.streams import EVENTS, LINES, Long
from waitlab import telemetry

django_settings.configure(
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "services.database_backend", "NAME": "lab"}},  # its pool, and where it is
    LOGGING_CONFIG=None,  # the guard logs what is worth it
)
django.setup()
logging.getLogger("django.request").setLevel(logging.CRITICAL)
# Django's word for what sync/stream shows on ASGI: a `def` view's parts are sent when the last of them is made.
warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous iterators")

unmeasured = contract.UNMEASURED
T = TypeVar("T")

# query: PostgreSQL through the ORM

NUMBER: "models.IntegerField[int, int]" = models.IntegerField()
TEXT: "models.TextField[str, str]" = models.TextField()
OWN = models.Func(function="pg_backend_pid", output_field=NUMBER)


class Activity(models.Model):
    """One session of PostgreSQL, as it sees itself: a table that is there without any migration."""

    pid: "models.IntegerField[int, int]" = models.IntegerField(primary_key=True)
    md5: str  # of what is asked, as `napping` adds it

    class Meta:
        managed = False
        db_table = "pg_stat_activity"
        app_label = "services"


def napping(ms: int) -> "models.QuerySet[Activity]":
    """Sessions, each asked to sleep `ms` in the server."""
    nap = models.Func(models.Value(ms / 1000), function="pg_sleep", output_field=TEXT)
    digest = MD5(Cast(models.Value(ms), TEXT))
    return Activity.objects.annotate(slept=nap, md5=digest)


def query(ms: int) -> Answer:
    """One round trip that takes `ms`. The connection goes back at once: who gave it back otherwise is a receiver."""
    with asking(ms):
        try:
            found = napping(ms).get(pid=OWN)
        finally:
            connection.close()
    return database.answer((found.pid, found.md5), ms)


async def aquery(ms: int, orm: str = "aget") -> Answer:
    """The same through the ORM's asynchronous interface, in either of its forms."""
    with asking(ms):
        try:
            if orm == "aget":
                found = await napping(ms).aget(pid=OWN)
            else:
                [found] = [row async for row in napping(ms).filter(pid=OWN)]
        finally:
            await sync_to_async(close)()
    return database.answer((found.pid, found.md5), ms)


def close() -> None:
    """Give back the connection of the thread that this is called in."""
    connection.close()


@contextmanager
def asking(ms: int) -> Iterator[None]:
    """Every wait ends, and what the database raises leaves as Problem 503 or 504, from under Django's names for it."""
    from services.database_backend.base import patience  # noqa: PLC0415 - the driver is imported at first use
    from services.workloads import postgres  # noqa: PLC0415

    patience.set(database.seconds(ms))
    with telemetry.span("query", **POSTGRESQL), postgres.answering():
        try:
            yield
        except Error as error:
            raise error.__cause__ or error from error


async def bridge(sensitive: bool, work: Callable[..., T], *arguments: object) -> T:
    """`work` in a thread: the request's own when `sensitive`, else one of the loop's executor."""
    return await sync_to_async(work, thread_sensitive=sensitive)(*arguments)


# sync


@get("/sync/ping")
def sync_ping() -> Answer:
    return blocking.ping()


@get("/sync/sleep")
def sync_sleep(ms: int) -> Answer:
    return blocking.sleep(ms)


@get("/sync/query")
def sync_query(ms: int, driver: str) -> Answer:
    return query(ms)


@get("/sync/fetch")
def sync_fetch(ms: int, client: str, tls: bool) -> Answer:
    return blocking.fetch(ms, client, tls)


@get("/sync/read")
def sync_read(kb: int, cold: bool, ms: int) -> Answer:
    return blocking.read(kb, cold, ms)


@get("/sync/burn")
def sync_burn(rounds: int, kind: str) -> Answer:
    return blocking.burn(rounds, kind)


@get("/sync/mixed")
def sync_mixed(ms: int, rounds: int) -> Answer:
    return blocking.mixed(ms, rounds)


@get("/sync/profile")
def sync_profile(ms: int) -> Answer:
    return blocking.profile(ms, query)


@get("/sync/stream")
def sync_stream(items: int, interval_ms: int, kb: int, buffered: bool) -> Long[Any]:
    return streams.blocking(LINES, items, interval_ms, kb, buffered)


@get("/sync/sse")
def sync_sse(items: int, interval_ms: int, kb: int, buffered: bool) -> Long[Any]:
    return streams.blocking(EVENTS, items, interval_ms, kb, buffered)


# async


@get("/async/ping")
async def async_ping() -> Answer:
    return await awaiting.ping()


@get("/async/sleep")
async def async_sleep(ms: int) -> Answer:
    return await awaiting.sleep(ms)


@get("/async/query")
async def async_query(ms: int, driver: str, orm: str) -> Answer:
    return await (aquery(ms, orm) if driver == "psycopg" else awaiting.query(ms, driver))


@get("/async/fetch")
async def async_fetch(ms: int, client: str, tls: bool) -> Answer:
    return await awaiting.fetch(ms, client, tls)


@get("/async/read")
async def async_read(kb: int, cold: bool, ms: int) -> Answer:
    return await awaiting.read(kb, cold, ms)


@get("/async/burn")
async def async_burn(rounds: int, kind: str) -> Answer:
    return await awaiting.burn(rounds, kind)


@get("/async/mixed")
async def async_mixed(ms: int, rounds: int) -> Answer:
    return await awaiting.mixed(ms, rounds)


@get("/async/profile")
async def async_profile(ms: int) -> Answer:
    return await awaiting.profile(ms, aquery)


@get("/async/gather")
async def async_gather(of: str, ms: int, rounds: int) -> Answer:
    return await awaiting.gather(of, ms, rounds)


@get("/async/stream")
async def async_stream(items: int, interval_ms: int, kb: int, buffered: bool) -> Long[Any]:
    return await streams.awaiting(LINES, items, interval_ms, kb, buffered)


@get("/async/sse")
async def async_sse(items: int, interval_ms: int, kb: int, buffered: bool) -> Long[Any]:
    return await streams.awaiting(EVENTS, items, interval_ms, kb, buffered)


# blocked. Not for the ORM: it refuses to be called on an event loop (SynchronousOnlyOperation)


@get("/blocked/ping")
async def blocked_ping() -> Answer:
    return blocking.ping()


@get("/blocked/sleep")
async def blocked_sleep(ms: int) -> Answer:
    return blocking.sleep(ms)


@get("/blocked/fetch")
async def blocked_fetch(ms: int, client: str, tls: bool) -> Answer:
    return blocking.fetch(ms, client, tls)


@get("/blocked/read")
async def blocked_read(kb: int, cold: bool, ms: int) -> Answer:
    return blocking.read(kb, cold, ms)


@get("/blocked/burn")
async def blocked_burn(rounds: int, kind: str) -> Answer:
    return blocking.burn(rounds, kind)


@get("/blocked/mixed")
async def blocked_mixed(ms: int, rounds: int) -> Answer:
    return blocking.mixed(ms, rounds)


@get("/blocked/gather")
async def blocked_gather(of: str, ms: int, rounds: int) -> Answer:
    return await awaiting.gather_blocked(of, ms, rounds)


@get("/blocked/stream")
async def blocked_stream(items: int, interval_ms: int, kb: int, buffered: bool) -> Long[Any]:
    return await streams.blocked(LINES, items, interval_ms, kb, buffered)


@get("/blocked/sse")
async def blocked_sse(items: int, interval_ms: int, kb: int, buffered: bool) -> Long[Any]:
    return await streams.blocked(EVENTS, items, interval_ms, kb, buffered)


# bridged


@get("/bridged/ping")
async def bridged_ping(sensitive: bool) -> Answer:
    return await bridge(sensitive, blocking.ping)


@get("/bridged/sleep")
async def bridged_sleep(ms: int, sensitive: bool) -> Answer:
    return await bridge(sensitive, blocking.sleep, ms)


@get("/bridged/query")
async def bridged_query(ms: int, driver: str, sensitive: bool) -> Answer:
    return await bridge(sensitive, query, ms)


@get("/bridged/fetch")
async def bridged_fetch(ms: int, client: str, tls: bool, sensitive: bool) -> Answer:
    return await bridge(sensitive, blocking.fetch, ms, client, tls)


@get("/bridged/read")
async def bridged_read(kb: int, cold: bool, ms: int, sensitive: bool) -> Answer:
    return await bridge(sensitive, blocking.read, kb, cold, ms)


@get("/bridged/burn")
async def bridged_burn(rounds: int, kind: str, sensitive: bool) -> Answer:
    return await bridge(sensitive, blocking.burn, rounds, kind)


@get("/bridged/mixed")
async def bridged_mixed(ms: int, rounds: int, sensitive: bool) -> Answer:
    return await bridge(sensitive, blocking.mixed, ms, rounds)


@get("/bridged/profile")
async def bridged_profile(ms: int, sensitive: bool) -> Answer:
    return await bridge(sensitive, blocking.profile, ms, query)


@get("/bridged/gather")
async def bridged_gather(of: str, ms: int, rounds: int, sensitive: bool) -> Answer:
    return await awaiting.gather_handed(partial(bridge, sensitive), of, ms, rounds)


@get("/healthz")
def healthz() -> Answer:
    return health.alive()


@get("/readyz")
def readyz() -> Answer:
    return health.ready()


@get("/about")
def about() -> Answer:
    return health.about()


def metrics(request: HttpRequest) -> HttpResponse:
    body, content_type = health.metrics(request.headers.get("accept", ""))
    return HttpResponse(body, content_type=content_type)


urlpatterns.append(path("metrics", metrics))


# The two doors

wsgi_handler, asgi_handler = WSGIHandler(), ASGIHandler()
wsgi = guard.Wsgi(wsgi_handler, guard.Door("django-wsgi"))
asgi = guard.Asgi(BesideHttp(cast(guard.AsgiApp, asgi_handler)), guard.Door("django-asgi"))

# What Django itself does at each request's start and end. All of it is `def`, so an ASGI request needs a thread for it.
RECEIVERS = (
    (request_started, reset_queries),
    (request_started, close_old_connections),
    (request_finished, close_old_connections),
    (request_finished, close_caches),
    (request_finished, reset_urlconf),
)


def sync_middleware(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """The least that middleware can do, in `def`: an ASGI request holds a thread for it, to the end of its view."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        return get_response(request)

    return middleware


@sync_and_async_middleware
def both_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[..., Any]:
    """The same, for either world: whoever asks from an event loop is awaited, and holds no thread for it."""
    if not iscoroutinefunction(get_response):
        return sync_middleware(get_response)

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        return cast(HttpResponseBase, await get_response(request))

    return middleware


def configure(**values: object) -> None:
    """As every application's; and two of the settings are Django's."""
    settings.configure(**values)
    for signal, receiver in RECEIVERS:
        (signal.connect if settings.current.receivers else signal.disconnect)(receiver)
    chosen = settings.current.middleware
    django_settings.MIDDLEWARE = [] if chosen == "none" else [f"{__name__}.{chosen}_middleware"]
    wsgi_handler.load_middleware()
    asgi_handler.load_middleware(is_async=True)
