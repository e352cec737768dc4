"""How a view of the lab becomes one of Django's: routed, given its parameters, and answered for."""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from services import guard
from services.workloads.blocking import Answer
from services.workloads.streams import Long

urlpatterns: list[URLPattern] = []

Reply = Answer | Long[Any]
View = TypeVar("View", bound=Callable[..., Reply | Awaitable[Reply]])


def get(where: str) -> Callable[[View], View]:
    """Route GET `where` to a view, which receives the validated parameters by name."""

    def route(view: View) -> View:
        async def asynchronous(request: HttpRequest) -> HttpResponseBase:
            try:
                return sent(await cast(Awaitable[Reply], view(**given(request))))
            except Exception as error:
                return refused(error)

        def synchronous(request: HttpRequest) -> HttpResponseBase:
            try:
                return sent(cast(Reply, view(**given(request))))
            except Exception as error:
                return refused(error)

        urlpatterns.append(path(where[1:], asynchronous if iscoroutinefunction(view) else synchronous))
        return view

    return route


def given(request: HttpRequest) -> dict[str, Any]:
    """The parameters that the guard has read: it leaves them in the scope, or in WSGI's environment."""
    found: dict[str, Any] = getattr(request, "scope", request.META)[guard.VALUES]
    return found


def sent(reply: Reply) -> HttpResponseBase:
    """What Django sends for what a view returns."""
    if isinstance(reply, Long) and not isinstance(reply.body, bytes):
        return StreamingHttpResponse(reply.body, content_type=reply.content_type)
    whole = (
        HttpResponse(reply.body, content_type=reply.content_type) if isinstance(reply, Long) else JsonResponse(reply)
    )
    whole["Content-Length"] = len(whole.content)  # elsewhere a middleware's work, which a service without any lacks
    return whole


def refused(error: Exception) -> HttpResponse:
    """Answered here and not by the guard: an exception would take a thread more, and leave Django's signals unsent."""
    problem = guard.explained(error)
    body = problem.body()
    return HttpResponse(body, status=int(problem.status), headers=dict(problem.fields(len(body))))
