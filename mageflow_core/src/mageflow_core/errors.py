"""Every error that MageFlow raises.

::

    MageflowError
    ├── ConfigurationError          how the app is put together
    │   ├── SettingsError
    │   ├── InvalidName
    │   ├── DuplicateTask
    │   ├── UnknownBackend
    │   ├── UnknownStore
    │   ├── NotOpen
    │   ├── AmbiguousApp
    │   ├── InsideEventLoop
    │   └── WrongEventLoop
    ├── SignatureError              a signature that cannot be built or stored
    │   ├── UnknownTask
    │   ├── UnknownArgument
    │   ├── CyclicGraph
    │   ├── UnknownDependency
    │   ├── SignatureTooDeep
    │   └── SignatureTooLarge
    ├── DataError                   a value that does not fit where it goes
    │   ├── NotSerializable
    │   ├── InvalidInput
    │   │   └── MissingArgument
    │   ├── InvalidResult
    │   └── MessageTooLarge
    ├── SteeringError               a call that a run cannot take as it stands
    │   ├── RunNotFound
    │   ├── AlreadyStarted
    │   ├── StartKeyConflict
    │   ├── SwarmClosed
    │   ├── NotASwarm
    │   └── CannotRetry
    ├── RunEnded                    how a run or node that was waited for ended
    │   ├── TaskFailed
    │   ├── WorkerLost
    │   ├── DeadlineExceeded
    │   ├── SwarmFailed
    │   ├── GraphFailed
    │   └── RunCanceled
    ├── WaitTimeout (TimeoutError)  the waiting ended, not the run
    ├── WouldDeadlock
    ├── BackendError
    │   ├── BackendUnavailable
    │   ├── PayloadTooLarge
    │   ├── CorruptJob
    │   └── UnsupportedCapability
    └── StoreError
        ├── StoreUnavailable
        │   ├── StoreFull
        │   └── StoreDenied
        ├── StoreUnsuitable
        └── StoreBroken

`Interrupted` stands beside the tree: it is raised *in* a sync body, as `CancelledError` is in an
async one, and is no `Exception`.

A message names what is wrong, where, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from mageflow_core.failure import ErrorInfo

__all__ = [
    "AlreadyStarted",
    "AmbiguousApp",
    "BackendError",
    "BackendUnavailable",
    "CannotRetry",
    "ConfigurationError",
    "CorruptJob",
    "CyclicGraph",
    "DataError",
    "DeadlineExceeded",
    "DuplicateTask",
    "GraphFailed",
    "InsideEventLoop",
    "Interrupted",
    "InvalidInput",
    "InvalidName",
    "InvalidResult",
    "MageflowError",
    "MessageTooLarge",
    "MissingArgument",
    "NotASwarm",
    "NotOpen",
    "NotSerializable",
    "PayloadTooLarge",
    "RunCanceled",
    "RunEnded",
    "RunNotFound",
    "SettingsError",
    "SignatureError",
    "SignatureTooDeep",
    "SignatureTooLarge",
    "StartKeyConflict",
    "SteeringError",
    "StoreBroken",
    "StoreDenied",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "StoreUnsuitable",
    "SwarmClosed",
    "SwarmFailed",
    "TaskFailed",
    "UnknownArgument",
    "UnknownBackend",
    "UnknownDependency",
    "UnknownStore",
    "UnknownTask",
    "UnsupportedCapability",
    "WaitTimeout",
    "WorkerLost",
    "WouldDeadlock",
    "WrongEventLoop",
]


class MageflowError(Exception):
    """Something went wrong in MageFlow."""

    def __init__(self, message: str | None = None) -> None:
        # An exception's docstring is its default message.
        super().__init__(message or (type(self).__doc__ or "").strip())


class ConfigurationError(MageflowError):
    """The application is not put together correctly; see the message for what to change."""


class SettingsError(ConfigurationError):
    """A setting is unknown or has a value that it cannot take."""


class InvalidName(ConfigurationError):
    """A name is outside ^[a-z0-9][a-z0-9._-]{0,127}$; use lower-case letters, digits, . _ and -."""


class DuplicateTask(ConfigurationError):
    """Two tasks have one name; give one of them another with name=."""


class UnknownBackend(ConfigurationError):
    """No backend of this name is installed; `mageflow backends` lists what is."""


class UnknownStore(ConfigurationError):
    """No store for this URL scheme is installed; memory:// is always there."""


class NotOpen(ConfigurationError):
    """The application is closed; use it inside `async with mf:` or `with mf:`."""


class AmbiguousApp(ConfigurationError):
    """Several applications exist; say which one by calling inside its `async with mf:`."""


class InsideEventLoop(ConfigurationError):
    """A sync method was called inside a running event loop; await its async twin instead."""


class WrongEventLoop(ConfigurationError):
    """The application is open in another event loop; use one Mageflow per event loop."""


class SignatureError(MageflowError):
    """A signature cannot be built or stored."""


class UnknownTask(SignatureError):
    """No task of this name is known; register it, or check the spelling."""


class UnknownArgument(SignatureError):
    """A bound argument is not one that the task takes."""


class CyclicGraph(SignatureError):
    """The dependencies of a graph form a cycle; remove one of its edges."""


class UnknownDependency(SignatureError):
    """A node of a graph depends on a name that is not in the graph."""


class SignatureTooDeep(SignatureError):
    """Signatures are nested deeper than 32 levels; return the next one from a task instead."""


class SignatureTooLarge(SignatureError):
    """A signature has more nodes than a run may have; split it, or add items while it runs."""


class DataError(MageflowError):
    """A value does not fit where it has to go."""


class NotSerializable(DataError):
    """A value is not what JSON can say; annotate it with a type, or convert it first."""


class InvalidInput(DataError):
    """The input of a task does not validate against its parameters."""


class MissingArgument(InvalidInput):
    """A task was not given a value for a parameter without a default."""


class InvalidResult(DataError):
    """What a task returned does not validate against its return annotation."""


class MessageTooLarge(DataError):
    """A value is larger than `max_value_bytes`; pass a reference to it instead."""


class SteeringError(MageflowError):
    """The run cannot take this call as it stands."""


class RunNotFound(SteeringError):
    """No run or node has this key; it may have expired, or belong to another store."""


class AlreadyStarted(SteeringError):
    """This run was started before; build a new one from its signature."""


class StartKeyConflict(SteeringError):
    """A run with this start key exists with another signature or message; use another key."""


class SwarmClosed(SteeringError):
    """The swarm is closed or has ended and takes no more items; make it with open=True."""


class NotASwarm(SteeringError):
    """Only a swarm takes items; the key names something else."""


class CannotRetry(SteeringError):
    """This cannot be run again; see the message for why."""


class RunEnded(MageflowError):
    """A run that was waited for has ended without a result.

    `error` has what is known of the failure: type, message, traceback, task, key, attempts.
    """

    def __init__(self, message: str | None = None, error: ErrorInfo | None = None) -> None:
        super().__init__(message)
        self.error = error


class TaskFailed(RunEnded):
    """A task raised, and its attempts are used up."""


class WorkerLost(RunEnded):
    """The workers that ran this task died each time."""


class DeadlineExceeded(RunEnded):
    """The deadline of the run passed before it ended."""


class SwarmFailed(RunEnded):
    """A swarm has too many failed items, or none that succeeded."""


class GraphFailed(RunEnded):
    """Nodes of a graph failed."""


class RunCanceled(RunEnded):
    """The run was canceled."""


class WaitTimeout(MageflowError, TimeoutError):
    """The wait was over before the run ended; the run goes on."""


class WouldDeadlock(MageflowError):
    """A task waits for something that cannot end before the task itself has."""


class BackendError(MageflowError):
    """A backend could not do what it was asked for."""


class BackendUnavailable(BackendError):
    """The backend does not answer; the jobs stay in the store and are sent again."""

    @classmethod
    def at(cls, place: str, error: BaseException, within: float) -> Self:
        """Because of what an engine's library has raised. place: the engine and its URL without
        passwords, for people. within: the seconds that were over where it has timed out."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, cls):
            return error
        why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if type(error) is TimeoutError and not str(error):
            why = f"no answer within {within:g} s"
        made = cls(f"{place} cannot be used: {why}")
        made.__cause__ = error
        return made


class PayloadTooLarge(BackendError):
    """A job is larger than the backend takes."""


class CorruptJob(BackendError):
    """A message says that it is a job, and is none; the job itself is sent again in time."""


class UnsupportedCapability(BackendError):
    """The backend cannot do this and MageFlow does not emulate it."""


class StoreError(MageflowError):
    """The store could not do what it was asked for."""


class StoreUnavailable(StoreError):
    """The store does not answer."""


class StoreFull(StoreUnavailable):
    """The store has no memory left and changes nothing; raise its limit, or lower `result_ttl`."""


class StoreDenied(StoreUnavailable):
    """The store refuses this user; check the password in its URL, and what it may do there."""


class StoreUnsuitable(StoreError):
    """The store, as it is set up, would lose runs; see the message for what to change."""


class StoreBroken(StoreError):
    """The store answered what it should not: something else writes there, or it is our defect."""


class Interrupted(BaseException):
    """The task is being stopped: raised in the thread of a sync body with interrupt="raise"."""
