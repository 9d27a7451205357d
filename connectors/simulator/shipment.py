"""A vendor's shipment file: one JSON object a line, what `Meter` holds, and the meter's keys."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from connectors.simulator.plan import MeterPlan
from schemas.records import Identity, IdentityKind, Meter, MeterState, Protocol, UtilityKind


def meter_record(plan: MeterPlan, endpoint: str) -> Meter:
    """What the head-end should know of a simulated meter. `endpoint` is tcp://host:port."""
    identities = [
        Identity(IdentityKind.LOGICAL_DEVICE_NAME, plan.logical_device_name),
        Identity(IdentityKind.SERIAL, plan.serial),
    ]
    kind = plan.model.c12
    if kind is not None:
        identities = [Identity(IdentityKind.AP_TITLE, plan.ap_title), Identity(IdentityKind.SERIAL, plan.serial)]
    elif plan.model.ciphered:
        identities.insert(0, Identity(IdentityKind.SYSTEM_TITLE, plan.system_title.hex().upper()))
    return Meter(
        id=plan.id,
        identities=tuple(identities),
        vendor=plan.model.vendor,
        model=plan.model.model,
        utility=UtilityKind.ELECTRICITY,
        protocol=Protocol.DLMS if kind is None else Protocol.C1222,
        network=plan.model.network,
        segment=plan.segment,
        endpoint=endpoint,
        template=plan.model.template,
        key_ref=plan.key_ref,
        feeder=plan.feeder,
        transformer=plan.transformer,
        time_zone=plan.model.time_zone,
        life_support=plan.life_support,
        groups=("simulated",),
        state=MeterState.INSTALLED,
        firmware=plan.firmware,
    )


def write_shipment(path: Path, fleet: Iterable[tuple[MeterPlan, str]]) -> None:
    """Write (plan, endpoint) pairs to `path`, readable by its owner only, since it holds keys. It appears whole.

    Each line has the fields of `Meter`, and `secrets`, which belong to its `key_ref`: `ek` and `ak` (hex), `broadcast_key`
    where it hears a group, or, of C12.22, `eax_keys` (id=hex); and `password`.
    """
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        for plan, endpoint in fleet:
            file.write(json.dumps({**asdict(meter_record(plan, endpoint)), "secrets": _secrets(plan)}) + "\n")
    part.replace(path)


def _secrets(plan: MeterPlan) -> dict[str, str]:
    if plan.model.c12 is not None:
        return {"eax_keys": f"{plan.model.c12.key_id}={plan.encryption_key.hex()}", "password": plan.password}
    group = {"broadcast_key": plan.broadcast_key.hex()} if plan.broadcast_key else {}
    keys = {"ek": plan.encryption_key.hex(), "ak": plan.authentication_key.hex()}
    return keys | group | {"password": plan.password}
