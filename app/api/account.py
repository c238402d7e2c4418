"""`/account`: who calls, and which models may answer."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app import errors
from app.api.dependencies import CallerDep, ServiceDep
from app.api.errors import openapi_responses

router = APIRouter(tags=["account"])


class Account(BaseModel):
    user_id: str | None = Field(
        description="The one user that the key or token speaks for; null if it may speak for any user."
    )
    models: list[str] = Field(description="The models that a request may name.")
    default_model: str = Field(description="The model that answers a request without `model`.")


@router.get(
    "/account",
    responses=openapi_responses(errors.InvalidApiKey, errors.InternalError, errors.UpstreamUnavailable),
)
async def read_account(caller: CallerDep, service: ServiceDep) -> Account:
    """Tell whose key or token this is, and which models may answer."""
    settings = service.settings
    return Account(
        user_id=caller.user_id,
        models=list(dict.fromkeys([settings.llm_model, *settings.llm_allowed_models])),
        default_model=settings.llm_model,
    )
