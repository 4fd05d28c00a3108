"""Endpoints about the cluster itself: health, status, the schema."""

from typing import Any

from starlette.responses import JSONResponse, Response

from hal9 import __version__
from hal9.api.endpoint import Call, Endpoint
from hal9.api.metrics import metrics_text

__all__ = ["CLUSTER_ENDPOINTS"]


async def _health(_call: Call) -> dict[str, str]:
    return {"status": "ok", "version": __version__}


async def _status(call: Call) -> dict[str, Any]:
    return await call.services.status()


async def _schema(call: Call) -> Response:
    return JSONResponse(call.request.app.state.openapi())


async def _whoami(call: Call) -> dict[str, Any]:
    return {"name": call.token.name, "scopes": list(call.token.scopes), "expires_at": call.token.expires_at}


async def _metrics(call: Call) -> Response:
    text = await metrics_text(call.services)
    return Response(text, media_type="text/plain; version=0.0.4", headers={"Cache-Control": "no-store"})


CLUSTER_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET",
        path="/healthz",
        scope=None,
        handler=_health,
        summary="Whether the server answers; says nothing of the cluster.",
        tag="cluster",
        returns=dict[str, str],
    ),
    Endpoint(
        method="GET",
        path="/openapi.json",
        scope=None,
        handler=_schema,
        summary="This description.",
        tag="cluster",
        returns=dict[str, Any],
    ),
    Endpoint(
        method="GET",
        path="/v1/status",
        scope="read",
        handler=_status,
        summary="What the cluster says of itself, and how many tasks are in which state.",
        tag="cluster",
        returns=dict[str, Any],
    ),
    Endpoint(
        method="GET",
        path="/metrics",
        scope="read",
        handler=_metrics,
        summary="Figures for Prometheus.",
        tag="cluster",
        returns=str,
        media="text/plain",
    ),
    Endpoint(
        method="GET",
        path="/v1/token",
        scope="read",
        handler=_whoami,
        summary="What the token is good for.",
        tag="cluster",
        returns=dict[str, Any],
    ),
)
