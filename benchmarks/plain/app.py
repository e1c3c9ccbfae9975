"""The intake of the plain stack: a POST is answered 202 when RabbitMQ has confirmed the task.

PLAIN_BROKER_URL=amqp://… uvicorn benchmarks.plain.app:app
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

from benchmarks.plain.tasks import register

app = FastAPI()


@app.post("/in/w1", status_code=202)
async def take(request: Request) -> dict[str, str]:
    """Answers with the id of the task."""
    document = (await request.body()).decode()
    task = await run_in_threadpool(register.delay, document)
    return {"id": str(task.id)}
