from __future__ import annotations

import pytest

from connectors.gateway.drivers.dlms_faults import dlms_fault
from connectors.gateway.errors import JobError
from connectors.gateway.retries import Failure, costs_a_try, failure_of, pause_ms, tells_of_network
from connectors.protocols.dlms.errors import CipherError, DecodeError, FramingError, PeerError


@pytest.mark.parametrize(
    ("error", "failure", "network"),
    [
        pytest.param(JobError("connect-refused", "", retry=True), Failure.RETRYABLE, True, id="refused"),
        pytest.param(JobError("connect-timeout", "", retry=True), Failure.RETRYABLE, True, id="no-connection"),
        pytest.param(JobError("answer-timeout", "", retry=True), Failure.RETRYABLE, True, id="silent"),
        pytest.param(JobError("connection-lost", "", retry=True), Failure.RETRYABLE, False, id="lost"),
        pytest.param(JobError("counter-unavailable", "", retry=True), Failure.RETRYABLE, False, id="no-counters"),
        pytest.param(JobError("key-missing", ""), Failure.FINAL, False, id="no-key"),
        pytest.param(JobError("job-expired", ""), Failure.EXPIRED, False, id="expired"),
        pytest.param(JobError("job-timeout", ""), Failure.EXPIRED, False, id="too-long"),
        pytest.param(PeerError("peer-access", "", retry=True), Failure.RETRYABLE, False, id="temporarily-not"),
        pytest.param(PeerError("peer-access", ""), Failure.FINAL, False, id="never"),
        pytest.param(PeerError("peer-authentication", ""), Failure.FINAL, False, id="wrong-secret"),
        pytest.param(FramingError("frame-garbage", ""), Failure.RETRYABLE, False, id="broken-frame"),
        pytest.param(FramingError("link-timeout", ""), Failure.RETRYABLE, True, id="link-timeout"),
        pytest.param(CipherError("cipher-authentication", ""), Failure.FINAL, False, id="wrong-key"),
        pytest.param(DecodeError("dlms-axdr", ""), Failure.FINAL, False, id="nonsense"),
    ],
)
def test_classes(error: Exception, failure: Failure, network: bool) -> None:
    fault = error if isinstance(error, JobError) else dlms_fault(error)
    assert fault is not None
    assert (failure_of(fault), tells_of_network(fault)) == (failure, network)


@pytest.mark.parametrize(
    ("tries", "chance", "pause"),
    [
        pytest.param(1, 1.0, 4_000, id="first"),
        pytest.param(2, 1.0, 8_000, id="second"),
        pytest.param(4, 1.0, 32_000, id="fourth"),
        pytest.param(50, 1.0, 60_000, id="longest"),
        pytest.param(3, 0.0, 0, id="full-jitter-begins-at-once"),
        pytest.param(3, 0.25, 4_000, id="a-quarter"),
    ],
)
def test_pauses(tries: int, chance: float, pause: int) -> None:
    assert pause_ms(JobError("answer-timeout", "", retry=True), tries, 4, 60, lambda: chance) == pause


def test_what_a_cap_held_up_waits_for_the_cap_to_move() -> None:
    assert pause_ms(JobError("openings-capped", "", retry=True), 1, 4, 60, lambda: 0.0) == 3_000


@pytest.mark.parametrize(
    ("error", "costs"),
    [
        pytest.param(JobError("answer-timeout", "", retry=True), True, id="asked-in-vain"),
        pytest.param(JobError("answer-timeout", "", retry=True, gained=True), False, id="something-was-gained"),
        pytest.param(JobError("counter-unavailable", "", retry=True), False, id="no-counters"),
        pytest.param(JobError("intent-unavailable", "", retry=True), False, id="no-intent"),
        pytest.param(JobError("controls-behind", "", retry=True), False, id="controls-behind"),
        pytest.param(JobError("openings-capped", "", retry=True), False, id="capped"),
    ],
)
def test_what_counts_as_a_try(error: JobError, costs: bool) -> None:
    assert costs_a_try(error) is costs
