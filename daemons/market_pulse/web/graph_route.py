"""The route of GraphQL: what a document may have at most, and how one that is wrong is refused."""

from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec
import strawberry
from cross_web import HTTPException
from graphql import GraphQLError
from starlette.websockets import WebSocketDisconnect
from starlette.websockets import WebSocketDisconnected as AlreadyClosedError
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.extensions import MaxAliasesLimiter, MaxTokensLimiter, QueryDepthLimiter
from strawberry.fastapi import GraphQLRouter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.schema.config import StrawberryConfig
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.types import ExecutionContext

from market_pulse.web import graph
from market_pulse.web.hub import Hub
from market_pulse.web.protocol import MOST_SUBSCRIPTIONS
from market_pulse.web.view import View

_MOST_ALIASES = 10
_MOST_DEPTH = 6
_MOST_TOKENS = 400


class _Schema(strawberry.Schema):
    """Has what is wrong with a document told to who sent it, and to the journal only what nobody expected."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log what was raised by the code behind a field."""
        own = [error for error in errors if not isinstance(error.original_error, GraphQLError | None)]
        super().process_errors(own, execution_context)


class _Document(msgspec.Struct):
    """What GraphQL over HTTP takes."""

    query: str | None = None
    variables: dict[str, Any] | None = None
    operationName: str | None = None  # noqa: N815 - the name on the wire
    extensions: dict[str, Any] | None = None


class _Socket(ASGIWebSocketAdapter):
    """Tells strawberry by its own error that a connection is over, also where another refusal has ended it."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message; raise WebSocketDisconnected where nobody is there."""
        await self._unless_over(super().send_json(message))

    async def close(self, code: int, reason: str) -> None:
        """Close the connection; raise WebSocketDisconnected where it is."""
        await self._unless_over(super().close(code, reason))

    async def _unless_over(self, effect: Awaitable[None]) -> None:
        try:
            await effect
        except (WebSocketDisconnect, AlreadyClosedError) as error:
            raise WebSocketDisconnected from error


class _Handler(BaseGraphQLTransportWSHandler[Any, None]):
    """Does not take a reader who has left for an error of its own."""

    async def handle_task_exception(self, error: Exception) -> None:
        """Log what was raised behind a subscription."""
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)


class _Router(GraphQLRouter[Any, None]):
    """Refuses a body that is no document, where strawberry's would fail."""

    websocket_adapter_class = _Socket
    graphql_transport_ws_handler_class = _Handler

    def parse_json(self, data: str | bytes) -> Any:
        """Return the fields of a document."""
        try:
            return msgspec.to_builtins(msgspec.json.decode(data, type=_Document))
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise HTTPException(400, f"the body is no GraphQL document as JSON: {error}") from None


def router(view: View, hub: Hub) -> GraphQLRouter[Any, None]:
    """Return the route over a view and a hub, with what a document may have at most."""
    schema = _Schema(
        graph.query(view),
        subscription=graph.subscription(view, hub),
        extensions=[
            lambda: MaxTokensLimiter(_MOST_TOKENS),
            lambda: MaxAliasesLimiter(_MOST_ALIASES),
            lambda: QueryDepthLimiter(_MOST_DEPTH),
        ],
        config=StrawberryConfig(scalar_map={graph.Count: graph.COUNT}),
    )
    return _Router(
        schema,
        "/graphql",
        # The interactive page would be loaded from elsewhere.
        graphql_ide=None,
        allow_queries_via_get=False,
        subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
        max_subscriptions_per_connection=MOST_SUBSCRIPTIONS,
        include_in_schema=False,
    )
