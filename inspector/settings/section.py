"""What every section of the configuration is: frozen, and without undeclared keys; and the values that several have."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """One table of the configuration; its first line of documentation stands beside the table's name."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _check_level(name: str) -> str:
    if strange := sorted(set(re.findall(r"[+#/\s]", name))):
        listed = " or ".join("a space" if one.isspace() else one for one in strange)
        better = re.sub(r"[+#/\s]+", "-", name).strip("-")
        raise ValueError(f"a name may not contain {listed}: {name!r}" + (f"; for example {better!r}" if better else ""))
    return name


TopicLevel = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_check_level)]
"""One level of an MQTT topic."""
Fraction = Annotated[float, Field(ge=0, le=1)]
