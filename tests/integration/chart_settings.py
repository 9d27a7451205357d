"""What the chart's values may set of the services' settings, as JSON Schema: derived, so that the two cannot part.

`python -m tests.integration.chart_settings` writes it into helm/hes/values.schema.json after a setting has come or gone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from connectors.gateway.drivers.c12_settings import C12Settings

FILE = Path(__file__).parents[2] / "helm" / "hes" / "values.schema.json"
OWN = {"health": {"host", "port"}, "gateway": {"relay_host", "relay_port"}}
"""What the chart sets itself."""
KEPT = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def settings_schema() -> dict[str, Any]:
    """The schema of `settings`: every section and field but secrets, which come from Secrets, and what the chart sets."""
    schema = C12Settings.model_json_schema()  # the services' settings, and those of C12.22
    sections = {
        name: _section(schema["$defs"][field["$ref"].rpartition("/")[2]], OWN.get(name, set()))
        for name, field in schema["properties"].items()
        if "$ref" in field
    }
    return {"type": "object", "additionalProperties": False, "properties": sections}


def _section(section: dict[str, Any], own: set[str]) -> dict[str, Any]:
    fields = {
        name: {key: field[key] for key in KEPT if key in field}
        for name, field in section["properties"].items()
        if field.get("format") != "password" and name not in own
    }
    return {"type": "object", "additionalProperties": False, "properties": fields}


def main() -> None:
    """Write the file."""
    schema = json.loads(FILE.read_text())
    schema["properties"]["settings"] = settings_schema()
    FILE.write_text(json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    main()
