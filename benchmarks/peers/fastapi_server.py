"""Peer: JSON-RPC as FastAPI users write it, on uvicorn with uvloop and httptools; three forms of the same endpoint."""

# mypy: disable-error-code="import-not-found, misc, untyped-decorator"
from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

METHODS: dict[str, Any] = {"bench.add": lambda a, b: a + b, "bench.echo": lambda value: value}

app = FastAPI()


class RpcRequest(BaseModel):
    """A JSON-RPC request."""

    jsonrpc: str
    id: int
    method: str
    params: list[Any]


class RpcResponse(BaseModel):
    """A JSON-RPC response."""

    jsonrpc: str = "2.0"
    id: int
    result: Any


@app.post("/async")
async def rpc_async(request: Request) -> JSONResponse:
    """Answer without models: the quickest form."""
    message = await request.json()
    result = METHODS[message["method"]](*message["params"])
    return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result})


@app.post("/models")
async def rpc_models(message: RpcRequest) -> RpcResponse:
    """Answer with models for request and response: the usual form."""
    return RpcResponse(id=message.id, result=METHODS[message.method](*message.params))


@app.post("/threads")
def rpc_threads(message: RpcRequest) -> RpcResponse:
    """Answer from a worker thread: the form of a method that may block."""
    return RpcResponse(id=message.id, result=METHODS[message.method](*message.params))


def main() -> None:
    """Serve on the loopback port given as the only argument."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
