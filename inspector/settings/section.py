"""What every section of the configuration is: frozen, and without undeclared keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One table of the configuration; its first line of documentation stands beside the table's name."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
