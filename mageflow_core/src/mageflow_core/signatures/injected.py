"""How an object that is no JSON value gets into the field of a model that is validated from JSON.

The field holds a placeholder; the object travels in pydantic's validation context. Without an
object of that type in the context the placeholder is a text like any other, and does not validate.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import CoreSchema, PydanticCustomError, core_schema

PLACEHOLDER: Final = "$injected"


def injected_schema(kind: type) -> CoreSchema:
    """A schema that takes instances of `kind`, and the placeholder where there is one to inject."""

    def validate(value: Any, info: core_schema.ValidationInfo) -> Any:
        if isinstance(value, kind):
            return value
        objects = info.context
        if value == PLACEHOLDER and isinstance(objects, dict) and kind in objects:
            return objects[kind]
        raise PydanticCustomError("injected", f"{kind.__name__} is given by MageFlow only")

    return core_schema.with_info_plain_validator_function(
        validate, serialization=core_schema.plain_serializer_function_ser_schema(repr)
    )
