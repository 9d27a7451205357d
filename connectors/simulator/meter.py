"""One running meter: its COSEM objects, its invocation counter and its queue of telegrams to send."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from dataclasses import dataclass

from connectors.simulator.config import Address, FleetConfig
from connectors.simulator.cosem import Cosem
from connectors.simulator.delivery import Outcome, Sending, send_confirmed, send_unconfirmed
from connectors.simulator.image_transfer import Faults
from connectors.simulator.ledger import PushEntry, sha256
from connectors.simulator.noise import KINDS, make_noise
from connectors.simulator.plan import MeterPlan
from connectors.simulator.scenario import Happening, event_code
from connectors.simulator.shared import Shared
from connectors.simulator.telegrams import (
    Telegram,
    Value,
    apdu,
    event_values,
    framed,
    plain_apdu,
    register_values,
    secret_of,
)
from connectors.simulator.truth import mix

COUNTER_EPOCH_S = 1_577_836_800  # 2020: invocation counters start at the seconds since, so they rise across runs too
INVOKE_IDS = 1 << 24
QUEUE_LIMIT = 1000  # telegrams a meter remembers; beyond it the oldest registers are forgotten, as in a push buffer


@dataclass(slots=True)
class Pending:
    """A telegram on its way, or bytes that are wrong on purpose."""

    entry: PushEntry
    telegram: Telegram | None = None
    noise: bytes = b""
    drip: bool = False
    with_next: bool = False  # goes in one segment with the telegram behind it


class RunningMeter:
    """A meter with its state of a run."""

    def __init__(self, plan: MeterPlan, shared: Shared) -> None:
        self.plan = plan
        config = shared.config
        self.cosem = Cosem(plan, shared.now_ms, config.profile_days, _faults(plan, config), round(config.restart_s * 1_000))
        self.cosem.relay.told = self._relay_moved
        self._shared = shared
        self._queue: deque[Pending] = deque()
        self._working = False
        self._counter = max(shared.now_ms() // 1000 - COUNTER_EPOCH_S, 1)
        self._invoke_id = plan.first_invoke_id
        self._last_ms = 0
        self._pushes = 0

    @property
    def waiting(self) -> int:
        """Telegrams not finished."""
        return len(self._queue)

    def happen(self, happening: Happening) -> None:
        """Do what the scenario says: queue the telegrams and see that they are being sent."""
        if self._shared.config.push_to is None:
            return
        if happening.what == "registers":
            self._push_registers()
        else:
            code = event_code(happening.what, happening.choice, alarm_register=self.plan.model.alarm_register)
            self._enqueue(happening.what, event_values(self.plan, code.obis, code.code), self._tick())
        if not self._working:
            self._working = True
            self._shared.spawn(self._work())

    def _relay_moved(self, connected: bool) -> None:
        """The truth file counts what the relay did."""
        self._shared.ledger.write_relay(self.plan.id, self._shared.now_ms(), connected=connected)

    def give_up(self) -> None:
        """Write what could not be delivered to the truth file."""
        while self._queue:
            self._finish(self._queue[0])

    def _push_registers(self) -> None:
        config, model = self._shared.config, self.plan.model
        self._pushes += 1
        rng = random.Random(mix(config.seed, self.plan.index, self._pushes, 5))  # noqa: S311 - a bench has to repeat itself from its seed, and nothing secret hangs on it
        noisy, paced = rng.random() < config.noise_share, rng.random() < config.pace_share
        pair = paced and rng.random() < 0.5
        for number in range(2 if pair and model.confirmed else 1):
            at_ms = self._tick()
            pending = self._enqueue("registers", register_values(self.plan, at_ms - self.plan.drift_ms), at_ms)
            pending.drip = paced and not pair
            pending.with_next = pair and model.confirmed and number == 0
        if noisy and model.confirmed:
            telegram = self._queue[-1].telegram
            assert telegram is not None  # noqa: S101 - it was queued above
            noise = make_noise(KINDS[rng.randrange(len(KINDS))], self.plan, telegram, self._next_counter(), rng)
            values = [(value.obis, value.raw) for value in telegram.values] if noise.what.startswith("unknown-") else []
            entry = PushEntry(
                self._shared.next_id(), noise.meter, noise.what, 0, telegram.meter_ms, values, sha256(noise.content), "tcp"
            )
            self._queue.append(Pending(entry, noise=noise.content))

    def _tick(self) -> int:
        """The meter's own clock in whole seconds; two telegrams never state the same second."""
        self._last_ms = max(self.cosem.meter_ms() // 1000 * 1000, self._last_ms + 1000)
        return self._last_ms

    def _next_counter(self) -> int:
        self._counter += 1
        return self._counter

    def _enqueue(self, what: str, values: tuple[Value, ...], meter_ms: int) -> Pending:
        self._invoke_id = (self._invoke_id + 1) % INVOKE_IDS
        telegram = Telegram(meter_ms, self._invoke_id, values, self.plan.model.confirmed)
        entry = PushEntry(
            push_id=self._shared.next_id(),
            meter=self.plan.id,
            what=what,
            sent_at=0,
            meter_time=meter_ms,
            values=[(value.obis, value.raw) for value in values],
            sha256=sha256(plain_apdu(self.plan, telegram)),
            transport=self.plan.model.transport.value,
            confirmed=False if self.plan.model.confirmed else None,
        )
        pending = Pending(entry, telegram)
        self._queue.append(pending)
        return pending

    async def _work(self) -> None:
        """Send the queue in order, one connection at a time; wait longer after each attempt that nobody answered."""
        config = self._shared.config
        backoff = config.backoff_s
        while self._queue:
            async with self._shared.slots:
                delivered = await self._attempt()
            if delivered:
                backoff = config.backoff_s
                continue
            if self._queue and self._queue[0].telegram is None and self._shared.draining:
                self._finish(self._queue[0])  # noise is not worth waiting for
                continue
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, config.backoff_max_s)
            self._forget()
        self._working = False

    async def _attempt(self) -> bool:
        """Send the head of the queue, and what goes with it. Whether all of it is finished."""
        head = self._queue[0]
        if head.telegram is not None and self.plan.model.confirmed:
            batch = [head, *self._companion(head)]
            return await self._confirmed({pending.telegram.invoke_id: pending for pending in batch if pending.telegram})
        outcome = await self._unconfirmed(head)
        # Wrong bytes may make the head-end cut the connection: that is an answer too.
        delivered = outcome is Outcome.CLOSED or (head.telegram is None and outcome is Outcome.CUT)
        if delivered:
            self._finish(head)
        return delivered

    def _companion(self, head: Pending) -> list[Pending]:
        """The telegram that goes in one segment with the first."""
        follower = self._queue[1] if head.with_next and len(self._queue) > 1 else None
        return [follower] if follower is not None and follower.telegram is not None else []

    async def _confirmed(self, batch: dict[int, Pending]) -> bool:
        config = self._shared.config
        assert config.push_to is not None  # noqa: S101 - nothing happens in a fleet that has nowhere to push to
        contents = [self._stamped(pending) for pending in batch.values()]
        drip = any(pending.drip for pending in batch.values())
        got = await send_confirmed(
            config.push_to, Sending(b"".join(contents), frozenset(batch), drip), config.confirm_timeout_s
        )
        for invoke_id in got:
            batch[invoke_id].entry.confirmed = True
            self._finish(batch[invoke_id])
        return got == batch.keys()

    async def _unconfirmed(self, pending: Pending) -> Outcome:
        config = self._shared.config
        content = self._stamped(pending)
        if self.plan.model.udp and config.udp_to is not None:
            return _datagram(config.udp_to, content)
        assert config.push_to is not None  # noqa: S101 - as above
        return await send_unconfirmed(config.push_to, Sending(content, drip=pending.drip), config.confirm_timeout_s)

    def _stamped(self, pending: Pending) -> bytes:
        """The bytes of one attempt, under a fresh invocation counter where ciphered, noted in the entry."""
        content = pending.noise
        if pending.telegram is not None:
            secret = secret_of(self.plan)
            message = apdu(self.plan, pending.telegram, secret, self._next_counter() if secret else 0)
            content = framed(self.plan.model.transport, message)
        entry = pending.entry
        entry.attempts += 1
        entry.wire.append(sha256(content))
        entry.sent_at = entry.sent_at or self._shared.now_ms()
        return content

    def _finish(self, pending: Pending) -> None:
        self._queue.remove(pending)
        self._shared.ledger.write_push(pending.entry)

    def _forget(self) -> None:
        """Keep the queue bounded, as a meter's push buffer is: the oldest goes, and the truth file says so."""
        while len(self._queue) > QUEUE_LIMIT:
            self._finish(self._queue[0])


def _faults(plan: MeterPlan, config: FleetConfig) -> Faults:
    """What is wrong with a meter's firmware: a draw of its own, so that everything else stays as it is."""
    drawn = mix(config.seed, plan.index, 18) % 10_000 / 10_000
    rejects = drawn < config.image_rejects_share
    return Faults(rejects, not rejects and drawn >= 1 - config.image_bricks_share, config.image_loses)


def _datagram(address: Address, content: bytes) -> Outcome:
    """Send one datagram; nobody ever knows whether it arrived."""
    with socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(content, (address.host, address.port))
    return Outcome.CLOSED
