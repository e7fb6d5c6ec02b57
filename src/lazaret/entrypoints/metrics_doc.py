"""Writes `docs/metrics.md` from the metrics themselves: `python -m lazaret.entrypoints.metrics_doc`. Pure."""

import sys
from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram

from lazaret.entrypoints.fleet_facts import FACTS, READ, READ_HELP
from lazaret.kernel import metrics
from lazaret.kernel.loop_health import LoopCollector

KINDS: dict[type, str] = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


def metrics_page() -> str:
    """The whole page."""
    return "\n".join(
        [
            "# Metrics",
            "",
            "Generated from the code by `make docs`; do not edit.",
            "How to scrape them: [howto/observe.md](howto/observe.md).",
            "",
            "## What each process counts itself",
            "",
            "Take the `sum` over processes. After a histogram's name come `_bucket`, `_sum` and `_count`.",
            "",
            *_table(_counted()),
            "",
            "## What the database knows",
            "",
            "Told by the API only. Take the `max` where several API processes run: each tells the same.",
            "",
            *_table([(READ, "gauge", "", READ_HELP)]),
            *_table((fact.name, "gauge", ", ".join(fact.labels), fact.help) for fact in FACTS)[2:],
            "",
        ]
    )


def _counted() -> Iterator[tuple[str, str, str, str]]:
    for metric in vars(metrics).values():
        kind = KINDS.get(type(metric))
        if kind is not None:
            (family,) = metric.describe()
            name = f"{family.name}_total" if kind == "counter" else family.name
            yield name, kind, ", ".join(metric._labelnames), family.documentation
    for family in LoopCollector().collect():
        yield family.name, "gauge", "loop", family.documentation


def _table(rows: "Iterator[tuple[str, str, str, str]] | list[tuple[str, str, str, str]]") -> list[str]:
    lines = [f"| `{name}` | {kind} | {labels} | {text} |" for name, kind, labels, text in rows]
    return ["| Name | Kind | Labels | Meaning |", "|---|---|---|---|", *lines]


if __name__ == "__main__":
    sys.stdout.write(metrics_page())
