"""The simplest bridge in FastAPI: reads an alert, posts a page, answers."""

from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with httpx.AsyncClient() as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/ready")
async def ready():
    return "ready"


@app.post("/alert")
async def alert(request: Request):
    essentials = (await request.json())["data"]["essentials"]
    page = {
        "Title": f"{essentials['severity']} {essentials['alertRule']}",
        "Message": essentials["description"],
        "X-S4-ExternalID": essentials["alertId"],
        "X-S4-Status": "new",
    }
    answer = await request.app.state.client.post("http://@SINK@/webhook", json=page)
    answer.raise_for_status()
    return {"taken": True}
