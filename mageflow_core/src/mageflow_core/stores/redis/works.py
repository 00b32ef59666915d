"""What a granted claim is answered with, as the work of a runner."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from mageflow_core.machine import ClaimRequest
from mageflow_core.names import depth_of, key_of
from mageflow_core.signatures.codec import signature_loads
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.protocol import Input, Work

KEPT = 2_000  # signatures


class Works:
    """Keeps the signatures that it has decoded: items of a swarm have theirs in common."""

    def __init__(self) -> None:
        self._signatures: OrderedDict[str, Signature[Any]] = OrderedDict()

    def work(self, run_id: str, request: ClaimRequest, reply: Sequence[Any]) -> Work:
        fence, attempt, generation, *_ = reply[2:]
        labels, body, message, previous, around, given, _ = reply[7:]
        signature = self._signature(body)
        arguments = tuple(_arguments(text) for text in around)
        return Work(
            key=key_of(run_id, request.path),
            claim=request.id,
            fence=fence,
            attempt=attempt,
            generation=generation,
            depth=depth_of(request.path),
            signature=signature,
            labels=signature.labels or (json.loads(labels) if labels else {}),
            input=Input(
                message=message,
                previous=previous or None,
                dependencies=dict(zip(given[::2], given[1::2], strict=True)),
                arguments=arguments,
            ),
        )

    def _signature(self, text: str) -> Signature[Any]:
        found = self._signatures.get(text)
        if found is None:
            found = self._signatures[text] = signature_loads(text)
            if len(self._signatures) > KEPT:
                self._signatures.popitem(last=False)
        return found


def _arguments(text: str) -> Mapping[str, Any]:
    arguments: Mapping[str, Any] = json.loads(text)["args"]
    return arguments
