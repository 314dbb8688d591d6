"""The market's page as an application: REST, GraphQL, the live channel and the files of the page itself."""

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from market_pulse.web import api, graph_route
from market_pulse.web.live import Live
from market_pulse.web.view import View

STATIC = Path(__file__).with_name("static")
_TITLE = "market-pulse"


def page(name: str) -> Route:
    """Return the route of a page that is one file."""

    async def answer(_: Request) -> Response:
        return FileResponse(STATIC / name)

    return Route("/", answer)


def shared() -> list[Route]:
    """Return the routes that every application of the daemon has: an answer that it asks itself for."""

    async def health(_: Request) -> Response:
        return JSONResponse({"answers": True})

    return [Route("/health", health)]


def market(view: View, live: Live) -> FastAPI:
    """Return the application of the market's page."""
    app = FastAPI(
        title=_TITLE,
        description="Bars of one market, read-only. The live channel is the WebSocket /live; GraphQL is /graphql.",
        openapi_url="/api/openapi.json",
        # The interactive pages would be loaded from elsewhere.
        docs_url=None,
        redoc_url=None,
        routes=[page("index.html"), *shared(), WebSocketRoute("/live", live.endpoint)],
    )
    app.include_router(api.router(view))
    app.include_router(graph_route.router(view, view.hub))
    app.mount("/static", StaticFiles(directory=STATIC))
    return app
