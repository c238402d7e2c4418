"""`/v1/models`: the models that a request may name."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from app import errors
from app.api.dependencies import ServiceDep
from app.api.errors import openapi_responses
from app.api.v1.bodies import require_model

router = APIRouter(prefix="/v1/models", tags=["v1"])


class ModelBody(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "streaming-llm-chat"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelBody]


@router.get("", responses=openapi_responses(errors.MisdirectedRequest, errors.InvalidApiKey))
async def list_models(service: ServiceDep) -> ModelList:
    """The models that a request may name."""
    return ModelList(data=[ModelBody(id=model) for model in sorted(service.settings.models)])


@router.get(
    "/{model:path}",
    responses=openapi_responses(errors.MisdirectedRequest, errors.InvalidApiKey, errors.ModelNotFound),
)
async def retrieve_model(model: str, service: ServiceDep) -> ModelBody:
    """One model, if a request may name it."""
    return ModelBody(id=require_model(model, service.settings))
