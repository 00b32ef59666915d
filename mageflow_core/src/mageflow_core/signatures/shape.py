"""The fields of a model: what a message or a bound argument can give it by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import AliasChoices, AliasPath, BaseModel, RootModel
from pydantic.fields import FieldInfo

from mageflow_core.signatures.hints import class_hints
from mageflow_core.signatures.inject import OBJECTS, Injection, injection_of, unaliased

# A field of this name gets the previous result, whatever its annotation.
RESULTS_FIELD: Final = "mageflow_results"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model takes.

    aliases: alias → field; paths: keys that a field is dug out of (`AliasPath`).
    injected: field → what it asks for. open: takes keys of any name.
    """

    fields: frozenset[str]
    aliases: Mapping[str, str]
    paths: frozenset[str]
    injected: Mapping[str, Injection]
    open: bool

    def takes(self, key: str) -> bool:
        """Whether a value by this name has a place here; objects that only we make have none."""
        if self.injected.get(self.aliases.get(key, key)) in OBJECTS:
            return False
        return self.open or key in self.fields or key in self.aliases or key in self.paths


def shape_of(annotation: Any) -> Shape | None:
    """The shape of a pydantic model, dataclass or TypedDict; None for any other type."""
    annotation = unaliased(annotation)
    while get_origin(annotation) is Annotated:
        annotation = unaliased(annotation.__origin__)
    cls = get_origin(annotation) or annotation
    if not isinstance(cls, type) or injection_of(cls):
        return None
    if issubclass(cls, BaseModel):
        return None if issubclass(cls, RootModel) else _of_pydantic(cls, cls.model_fields)
    if dataclasses.is_dataclass(cls):
        fields = getattr(cls, "__pydantic_fields__", None)
        if fields is not None:
            return _of_pydantic(cls, fields)
        return _of_hints(cls, (f.name for f in dataclasses.fields(cls) if f.init))
    if issubclass(cls, dict) and hasattr(cls, "__required_keys__"):
        return _of_hints(cls, class_hints(cls))
    return None


def _of_pydantic(cls: Any, infos: Mapping[str, FieldInfo]) -> Shape:
    config = getattr(cls, "model_config", None) or getattr(cls, "__pydantic_config__", {})
    injected: dict[str, Injection] = {}
    for name, info in infos.items():
        notes = [note for note in info.metadata if isinstance(note, Injection)]
        found = notes[0] if notes else injection_of(info.annotation)
        if found:
            injected[name] = found
    return _shape(frozenset(infos), injected, infos, config)


def _of_hints(cls: Any, names: Iterable[str]) -> Shape:
    injected: dict[str, Injection] = {}
    infos: dict[str, FieldInfo] = {}
    fields = frozenset(names)
    for name, hint in class_hints(cls).items():
        if found := _find_injection(hint):
            injected[name] = found
        for note in getattr(hint, "__metadata__", ()):
            if isinstance(note, FieldInfo):
                infos[name] = note
    injected = {name: found for name, found in injected.items() if name in fields}
    return _shape(fields, injected, infos, getattr(cls, "__pydantic_config__", {}))


def _shape(
    fields: frozenset[str],
    injected: dict[str, Injection],
    infos: Mapping[str, FieldInfo],
    config: Mapping[str, Any],
) -> Shape:
    if RESULTS_FIELD in fields:
        injected.setdefault(RESULTS_FIELD, Injection.RETURN_VALUE)
    aliases: dict[str, str] = {}
    paths: set[str] = set()
    for name, info in infos.items():
        alias = info.validation_alias or info.alias
        for choice in alias.choices if isinstance(alias, AliasChoices) else [alias]:
            if isinstance(choice, AliasPath):
                paths.add(str(choice.path[0]))
            elif choice is not None and choice not in fields:  # else it means that other field
                aliases[choice] = name
    return Shape(fields, aliases, frozenset(paths), injected, config.get("extra") == "allow")


def _find_injection(hint: Any) -> Injection | None:
    """As `injection_of`, also within `Required[…]` and the like."""
    origin = get_origin(hint)
    if getattr(origin, "_name", None) in ("Required", "NotRequired", "ReadOnly"):
        return _find_injection(get_args(hint)[0])
    return injection_of(hint)
