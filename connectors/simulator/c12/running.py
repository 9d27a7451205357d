"""One running C12.22 meter: its ports, its registration, and its queue of what it has to say."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from dataclasses import dataclass

from connectors.protocols.c12.c1222_framing import ApduStream, Framed
from connectors.protocols.c12.c1222_masking import masked
from connectors.protocols.c12.c1222_security import Policy, open_
from connectors.protocols.c12.c1222_services import Request, encode_request
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.responses import OK
from connectors.protocols.c12.titles import title
from connectors.simulator.c12.logs import POWER_DOWN, Entry
from connectors.simulator.c12.message_lines import MessageConnection, serve
from connectors.simulator.c12.message_server import Identity, MessageServer, Numbers
from connectors.simulator.c12.meter_tables import MeterTables
from connectors.simulator.c12.notices import CODES, NOISE, Spoken, brought, noise, registration, spoken
from connectors.simulator.config import Address
from connectors.simulator.delivery import Outcome, Sending, send_unconfirmed
from connectors.simulator.ledger import PushEntry, sha256
from connectors.simulator.plan import MeterPlan
from connectors.simulator.scenario import Happening
from connectors.simulator.shared import Shared
from connectors.simulator.truth import mix

_LAST_GASPS = 2
"""How often a last gasp is said: nobody answers it."""
_LONGEST_REPLY = 4096


@dataclass(slots=True)
class _Pending:
    """Something to say, or bytes that are wrong on purpose."""

    entry: PushEntry
    request: Request | None = None
    noise: bytes = b""
    one_way: bool = False


class RunningC12Meter:
    """A meter with its state of a run; to the fleet as `RunningMeter` is."""

    def __init__(self, plan: MeterPlan, shared: Shared) -> None:
        kind = plan.model.c12
        if kind is None:
            raise ValueError(f"{plan.id} is a meter of DLMS")
        self.plan = plan
        self.tables = MeterTables(plan, kind, shared.now_ms, shared.config.profile_days)
        self.tables.state.told = self._switched
        identity = Identity(title(plan.ap_title), kind, plan.encryption_key, plan.password.encode())
        self.server = MessageServer(identity, self.tables, Numbers(shared.now_ms, plan.first_invoke_id))
        self._shared = shared
        self._queue: deque[_Pending] = deque()
        self._working = False
        self._last_s = 0
        self._heard = b""  # the last notification that was answered
        self._turns = 0
        self._listening: list[asyncio.Server | asyncio.DatagramTransport] = []

    @property
    def waiting(self) -> int:
        """Messages not finished."""
        return len(self._queue)

    async def listen(self, connections: set[MessageConnection], backlog: int) -> int:
        """Open the ports, TCP and UDP of one number: that number."""
        listener, datagrams = await serve(self.server, connections, self._shared.config.host, backlog=backlog)
        self._listening = [listener, datagrams]
        return int(listener.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Close the ports."""
        for listening in self._listening:
            listening.close()

    def register(self) -> None:
        """Tell the head-end where to find the meter."""
        if self._shared.config.c12_to is not None:
            self._enqueue("registration", registration(self.server, self.plan.serial), 0, one_way=False)
            self._begin()

    def happen(self, happening: Happening) -> None:
        """Do what the scenario says. Registers are not pushed: the only thing that comes of that is noise, now and then."""
        if self._shared.config.c12_to is None:
            return
        if happening.what == "registers":
            self._make_noise()
        else:
            codes = CODES[happening.what]
            code = codes[happening.choice % len(codes)]
            self._enqueue(happening.what, *self._logged(code), one_way=code == POWER_DOWN)
        self._begin()

    def _switched(self, connected: bool) -> None:
        """The truth file counts what the switch did."""
        self._shared.ledger.write_relay(self.plan.id, self._shared.now_ms(), connected=connected)

    def give_up(self) -> None:
        """Write what could not be delivered to the truth file."""
        while self._queue:
            self._finish(self._queue[0])

    def _begin(self) -> None:
        if self._queue and not self._working:
            self._working = True
            self._shared.spawn(self._work())

    def _logged(self, code: int) -> tuple[Request, int]:
        """A new entry of the event log, and when it was, by the meter's clock in UTC; no two are of the same second."""
        self._last_s = max(self.tables.meter_ms() // 1000, self._last_s + 1)
        entry = Entry(self.tables.meter_seconds(self._last_s * 1000), code)
        return brought([(self.tables.events.add(entry), entry)], self.server), self._last_s * 1000

    def _make_noise(self) -> None:
        config = self._shared.config
        self._turns += 1
        rng = random.Random(mix(config.seed, self.plan.index, self._turns, 6))  # noqa: S311 - a bench has to repeat itself from its seed, and nothing secret hangs on it
        if rng.random() >= config.noise_share:
            return
        what = rng.choice(NOISE)
        at = self.tables.meter_seconds()
        request = brought([(0, Entry(at, CODES["tamper"][0]))], self.server)
        content = noise(what, self.server, request, self._heard, rng)
        if content is not None:
            meter = self.plan.id if what in ("bad-key", "bad-replay") else ""
            entry = PushEntry(self._shared.next_id(), meter, what, 0, at * 1000, [], sha256(content), "c12.22")
            # What cannot be understood is kept masked.
            entry.wire.append(sha256(masked(content)))
            self._queue.append(_Pending(entry, noise=content))

    def _enqueue(self, what: str, request: Request, meter_ms: int, *, one_way: bool) -> None:
        entry = PushEntry(
            push_id=self._shared.next_id(),
            meter=self.plan.id,
            what=what,
            sent_at=0,
            meter_time=meter_ms,
            values=[],
            sha256=sha256(encode_request(request)),
            transport="c12.22",
            confirmed=None if one_way else False,
        )
        self._queue.append(_Pending(entry, request, one_way=one_way))

    async def _work(self) -> None:
        """Say the queue in order; wait longer after each attempt that nobody answered."""
        config = self._shared.config
        backoff = config.backoff_s
        while self._queue:
            head = self._queue[0]
            async with self._shared.slots:
                done = await self._attempt(head)
            if done or (head.request is None and self._shared.draining):
                self._finish(head)
                backoff = config.backoff_s
                continue
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, config.backoff_max_s)
        self._working = False

    async def _attempt(self, head: _Pending) -> bool:
        config = self._shared.config
        assert config.c12_to is not None  # noqa: S101 - nothing happens in a fleet that has nowhere to say it
        if head.request is None:
            self._note(head, head.noise)
            return await send_unconfirmed(config.c12_to, Sending(head.noise), config.confirm_timeout_s) in (
                Outcome.CLOSED, Outcome.CUT,
            )  # fmt: skip
        if head.one_way:
            return await self._gasp(head, head.request, config.c12_to)
        said = spoken(self.server, head.request)
        self._note(head, said.octets)
        answered = await self._confirmed(config.c12_to, said, config.confirm_timeout_s)
        if answered:
            head.entry.confirmed = True
            self._heard = said.octets if head.entry.what != "registration" else self._heard
        return answered

    async def _gasp(self, head: _Pending, request: Request, to: Address) -> bool:
        """The last thing that is said before the capacitor is empty: twice, and nobody answers."""
        config, taken = self._shared.config, False
        for _ in range(_LAST_GASPS):
            said = spoken(self.server, request, urgent=True, one_way=True)
            self._note(head, said.octets)
            if config.c12_udp_to is not None:
                _send(config.c12_udp_to, said.octets)
                taken = True
            else:
                sent = await send_unconfirmed(to, Sending(said.octets), config.confirm_timeout_s)
                taken = taken or sent is Outcome.CLOSED
        return taken

    async def _confirmed(self, to: Address, said: Spoken, timeout_s: float) -> bool:
        """Whether the head-end answered, protected as the meter wants it, that all is well."""
        writer: asyncio.StreamWriter | None = None
        stream = ApduStream(max_apdu=_LONGEST_REPLY)
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection(to.host, to.port)
                writer.write(said.octets)
                await writer.drain()
                while data := await reader.read(_LONGEST_REPLY):
                    for item in stream.feed(data):
                        if isinstance(item, Framed) and (found := self._answer(item.octets, said.invocation)) is not None:
                            return found
        except (OSError, TimeoutError):
            pass  # it is said again
        finally:
            if writer is not None:
                writer.close()
        return False

    def _answer(self, octets: bytes, invocation: int) -> bool | None:
        """Whether a message says that all is well; None where it answers something else."""
        kind = self.server.identity.kind
        try:
            opened = open_(octets, self.server.lookup, Policy(least=kind.mode, base=self.server.identity.base))
        except C12Error:
            return None
        if opened.apdu.called_invocation != invocation:
            return None
        return all(service[:1] == bytes((OK,)) for service in opened.services)

    def _note(self, pending: _Pending, octets: bytes) -> None:
        entry = pending.entry
        entry.attempts += 1
        entry.wire.append(sha256(octets))
        entry.sent_at = entry.sent_at or self._shared.now_ms()

    def _finish(self, pending: _Pending) -> None:
        self._queue.remove(pending)
        self._shared.ledger.write_push(pending.entry)


def _send(address: Address, content: bytes) -> None:
    """One datagram; nobody ever knows whether it arrived."""
    with socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(content, (address.host, address.port))
