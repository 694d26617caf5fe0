"""The dashboard in examples/ names metrics and labels that there are."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.ledger.build import a_row
from tokenomics_core.meter.stats import Counters
from tokenomics_core.metrics import Metrics, Moment, Remaining

GRAFANA = Path(__file__).parents[2] / "examples" / "grafana"
# Given by Prometheus: where it scraped, and the bounds of a histogram.
GIVEN = {"instance", "le", "job"}


def labels_by_name():
    moment = Moment(
        open_streams={"http": 1},
        queues={"ledger": 1},
        queued_bytes={"memory": 1},
        dropped={"events": 1},
        budgets=[Remaining("a" * 64, "usd", "day", "token", Decimal(1))],
        webhooks={("1", "waiting"): 1},
        ledger=Counters(1, 1, 1, 1),
    )
    metrics = Metrics()
    metrics.add(
        a_row(
            1,
            cost_usd=Decimal(1),
            first_byte_ms=1,
            timings={"admission": 1.0},
            attempts=[{"provider": "openai", "model": "gpt-4o", "status": 429, "reason": ""}],
            retry_count=1,
            refusal="x",
            rule_matches=[{"action": "warn", "message": 'matched regex rule "x"'}],
        )
    )
    metrics.add(a_row(2))
    _, body = metrics.expose("", moment)
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


LABELS = labels_by_name()
DASHBOARD = json.loads((GRAFANA / "dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
QUERIES += [each["definition"] for each in DASHBOARD["templating"]["list"] if "definition" in each]
QUERIES += re.findall(r"expr: (.+)", (GRAFANA / "README.md").read_text())


@pytest.mark.parametrize("query", QUERIES)
def test_every_metric_and_label_exists(query):
    names = re.findall(r"\b(?:tokenomics|process)_[a-z_]+\b", query)
    assert names
    known = set.union(*(LABELS[name] for name in names)) | GIVEN
    used = set(re.findall(r"([a-z_]+)(?:=~|!=|=)\"", query))
    for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", query):
        used |= {label.strip() for label in grouped.split(",")}
    assert used <= known


def test_legends_name_labels_of_their_query():
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", target["expr"])
                assert any(label in each.split(", ") for each in grouped), target


def test_every_metric_of_ours_is_on_it_or_is_a_version():
    shown = " ".join(QUERIES)
    own = {re.sub(r"_(bucket|count|sum)$", "", name) for name in LABELS if name.startswith("tokenomics")}
    assert {name for name in own if name not in shown} == set()


def test_panels_do_not_lie_on_each_other():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
