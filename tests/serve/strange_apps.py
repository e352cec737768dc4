"""Applications of strangers', which are nowhere else in the project: sources, that a test writes into a folder."""

from pathlib import Path

FLASK_APP = """
import os, sys, time
from flask import Flask, abort
app = Flask(__name__)

@app.get("/cakes/<name>")
def cake(name):
    time.sleep(0.02)
    return {"cake": name, "worker": os.getpid()}

@app.get("/fail")
def fail():
    raise RuntimeError("burnt")

@app.get("/modules")
def modules():
    import importlib.util as util
    asked = ("waitlab", "prometheus_client", "typer", "waitlab.serve")
    found = {name: util.find_spec(name) is not None for name in asked}
    return {**found, "loaded": sorted(n for n in sys.modules if n.startswith("prometheus_client"))}

@app.get("/slow")
def slow():
    time.sleep(1.0)
    return "late"

def create(title):
    app.title = title
    return app
"""

STARLETTE_APP = """
import asyncio, os, time
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

async def kite(request):
    await asyncio.sleep(0.01)
    return JSONResponse({"kite": request.path_params["name"], "worker": os.getpid()})

def held(request):
    time.sleep(0.5)
    return PlainTextResponse("held")

toys = Mount("/toys", routes=[Route("/{name}", kite)])
app = Starlette(routes=[Route("/kites/{name}", kite), toys, Route("/held", held)])
"""

BARE_ASGI = """
import asyncio, time
from concurrent.futures import ThreadPoolExecutor

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/own":
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    if scope["path"] == "/handed":
        await asyncio.to_thread(time.sleep, 0.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""

BARE_WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode("latin-1")]
"""


def place(folder: Path, source: str, name: str = "bakery") -> None:
    (folder / f"{name}.py").write_text(source)
