"""Counters that exist at zero from the start: where there is no series a panel is empty, and an alert sees no rise.

The one place that holds the labels of the metrics against the words of all rooms.
"""

from collections.abc import Callable, Iterable
from itertools import product

from prometheus_client import Counter, Histogram

from lazaret.incidents.model import IncidentType
from lazaret.kernel import metrics

MESSAGE_ENDS = ("sent", "edited", "refused", "away", "too_fast", "token_refused")


def start_at_zero(part: str) -> None:
    """The counters of a part of Lazaret: `api`, `worker`, `monitor` or `bot`."""
    _zero(metrics.INCIDENTS, IncidentType)
    _PARTS.get(part, lambda: None)()


def _worker() -> None:
    from lazaret.adapters.time4vps.counting import ACTIONS, OUTCOMES  # noqa: PLC0415 - a worker has imported them
    from lazaret.healing.model import RemedyOutcome  # noqa: PLC0415
    from lazaret.healing.remedy import Remedy  # noqa: PLC0415
    from lazaret.operations.model import OperationKind  # noqa: PLC0415
    from lazaret.operations.outcome import Done, GiveUp, Retry, Wait  # noqa: PLC0415

    ends = [kind.__name__.lower() for kind in (Done, Wait, Retry, GiveUp)]
    _zero(metrics.PROVISIONING_DURATION, OperationKind)
    _zero(metrics.PROVISIONING_ATTEMPTS, OperationKind, ends)
    _zero(metrics.PROVIDER_CALLS, ACTIONS, OUTCOMES)
    _zero(metrics.PROVIDER_CALL_DURATION, ACTIONS)
    _zero(metrics.REMEDIES, Remedy, [one for one in RemedyOutcome if one is not RemedyOutcome.BEGUN])


def _monitor() -> None:
    from lazaret.probing.verdict import Condition, Phase  # noqa: PLC0415 - a monitor has imported them

    _zero(metrics.VERDICTS, Phase)
    _zero(metrics.HEALTH_CHECK_FAILURES, Condition)


def _bot() -> None:
    _zero(metrics.MESSAGES, MESSAGE_ENDS)


_PARTS: dict[str, Callable[[], None]] = {"worker": _worker, "monitor": _monitor, "bot": _bot}


def _zero(metric: Counter | Histogram, *words: Iterable[str]) -> None:
    for labels in product(*words):
        metric.labels(*map(str, labels))
