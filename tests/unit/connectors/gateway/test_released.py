"""Which jobs the gateway takes where it asks who wrote them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from connectors.gateway.errors import JobError
from connectors.gateway.proofs import Authority
from schemas.records import Job, Operation
from schemas.signatures import public_key
from streams.runtime.settings import Commands, Settings
from tests.unit.streams.runtime.authority.builders import CODEC, HERE, NOW, ROOT, altered, operator, sign


@pytest.mark.parametrize("operation", [Operation.DISCONNECT, Operation.FIRMWARE_TRANSFER])
def test_a_job_that_its_service_did_not_write_is_not_taken(operation: Operation) -> None:
    root = public_key(ROOT).hex()
    settings = Settings(environment=HERE, commands=Commands(root_key=root, releasers="service"))
    authority = Authority(cast("Any", SimpleNamespace(settings=settings, codec=CODEC)))
    authority.around.operators.apply(operator("service", ("release",)))
    job = Job(id="j1", meter_id="m1", operation=operation, deadline=NOW, request=b"...")
    written = sign(job, "service")
    authority.released(job, written, NOW)
    for value in (CODEC.encode(job), altered(written, deadline=NOW + 1)):
        with pytest.raises(JobError) as refusal:
            authority.released(job, value, NOW)
        assert refusal.value.code == "job-unreleased"
