"""The base of what is declared, or kept, as data."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A model that does not change and refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
