"""A blocking socket that runs sessions over a link: what octets, time and an ended connection mean to both."""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections import deque
from collections.abc import Callable

from connectors.cli.failure import CommandError, unreachable
from connectors.cli.probe.address import Target
from connectors.cli.probe.trace import Trace
from connectors.protocols.dlms.client_apdus import CLOSED, Session, T
from connectors.protocols.dlms.errors import DlmsError, PeerError
from connectors.protocols.dlms.link import Link, silent

_AT_ONCE = 65_536  # octets; the longest datagram, too
_NOTIFICATIONS = (0x0F, 0xC2, 0xCA, 0xD2)
"""What a meter may say unasked: data-notification, event-notification, and that ciphered."""
_MOST_UNASKED = 100
_HEARD = 16  # octets kept for whoever wonders what answers there


def connect(target: Target, timeout_s: float) -> socket.socket:
    """A connected socket. Raises CommandError, exit code 3, with the likely cause."""
    try:
        if not target.datagram:
            made = socket.create_connection((target.host, target.port), timeout_s)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return made
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)
        made = socket.socket(found[0][0], socket.SOCK_DGRAM)
        try:
            made.connect(found[0][4])
        except OSError:
            made.close()
            raise
    except OSError as error:
        raise not_there(target, error) from error
    return made


def not_there(target: Target, error: OSError) -> CommandError:
    """What it means that a connection cannot be made."""
    if isinstance(error, socket.gaierror):
        return unreachable(
            f"the name {target.host} is not known",
            "check the spelling, or give the meter's IP address: its SIM or DHCP tells it",
        )
    if isinstance(error, TimeoutError):
        mend = "check power, coverage and antenna, the route into the operator's APN, and firewalls; or a longer --timeout"
        return unreachable(f"nothing answered at {target}", mend)
    if isinstance(error, ConnectionRefusedError):
        mend = "check the port (DLMS meters mostly listen on 4059); a meter that is busy with another client may refuse, too"
        return unreachable(f"{target} refuses the connection: something is there, and not on this port", mend)
    why = (error.strerror or type(error).__name__).lower()
    return unreachable(f"{target} cannot be reached: {why}", "check this machine's network, its routes and the address")


class Wire:
    """One connection, with one link on it. Closing is the caller's: `part`."""

    def __init__(
        self,
        made: socket.socket,
        target: Target,
        link: Link,
        trace: Trace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._socket, self._target, self._link, self._trace, self._clock = made, target, link, trace, clock
        self._answers: deque[bytes] = deque()
        self._until = math.inf
        self.ended = False
        """Whether the meter has closed the connection."""
        self.heard = b""
        """The first octets that came at all."""
        self.unasked = 0
        """Notifications that the meter sent meanwhile."""

    def open(self) -> None:
        """Open the link. DlmsError where the meter does not."""
        self._send(self._link.open(self._clock()))
        while not self._link.opened:
            if self.ended:
                raise PeerError("peer-closed", "link: the meter closed the connection before the link was open", retry=True)
            self._wait()

    def run(self, session: Session[T]) -> T:
        """Run a session to its end. DlmsError as it, or the link, raises."""
        try:
            apdu = next(session)
            while True:
                try:
                    answer = self._ask(apdu)
                except PeerError as error:
                    if error.code != "link-timeout":
                        raise
                    apdu = session.throw(error)
                else:
                    apdu = session.send(answer)
        except StopIteration as ended:
            result: T = ended.value
            return result
        finally:
            session.close()

    def part(self, goodbye: Session[None] | None, patience_s: float) -> None:
        """Release the association, if there is one, close the link and the connection: whatever the meter says to it."""
        self._until = self._clock() + patience_s
        try:
            with contextlib.suppress(DlmsError, OSError, CommandError):
                if goodbye is not None and not self.ended and self._link.opened:
                    self._answers.clear()
                    self.run(goodbye)
            with contextlib.suppress(DlmsError, OSError, CommandError):
                self._send(b"" if self.ended else self._link.close(self._clock()))
                while not self.ended and self._link.deadline is not None:
                    self._wait()
        finally:
            if goodbye is not None:
                goodbye.close()
            self._socket.close()

    def _ask(self, apdu: bytes) -> bytes:
        if self._trace is not None and apdu:
            self._trace.saying(apdu)
        if apdu or not self._answers:
            self._send(self._link.send(apdu, self._clock()))
        while not self._answers:
            if self.ended:
                return CLOSED
            self._wait()
        return self._answers.popleft()

    def _wait(self) -> None:
        """Until octets come, or the link has something to do, or the connection ends."""
        now, deadline = self._clock(), self._link.deadline
        due = min(self._until, math.inf if deadline is None else deadline)
        if now >= self._until:
            raise silent("did not part in time")
        data = self._receive(max(due - now, 0.0)) if due > now else None
        now = self._clock()
        if data is None:
            self._send(self._link.tick(now))
            return
        if not data:
            self.ended = True
            return
        self.heard = self.heard or data[:_HEARD]
        received = self._link.receive(data, now)
        self._send(received.replies)
        answers = [apdu for apdu in received.apdus if apdu[0] not in _NOTIFICATIONS]
        self._answers += answers
        self.unasked += len(received.apdus) - len(answers)
        if self.unasked > _MOST_UNASKED:
            raise PeerError("peer-unexpected", f"the meter sent {self.unasked} notifications and no answer: try again later")
        if received.apdus and not answers:
            self._send(self._link.send(b"", now))  # the answer is still to come

    def _receive(self, wait_s: float) -> bytes | None:
        """Octets; b"" where the connection has ended, None where nothing came in time."""
        self._socket.settimeout(None if wait_s == math.inf else max(wait_s, 0.001))
        try:
            data = self._socket.recv(_AT_ONCE)
        except TimeoutError:
            return None
        except ConnectionRefusedError as error:  # UDP: ICMP said so
            raise not_there(self._target, error) from error
        except OSError:
            return b""
        if self._trace is not None:
            self._trace.came(data)
        return data or (None if self._target.datagram else b"")

    def _send(self, octets: bytes) -> None:
        if not octets or self.ended:
            return
        if self._trace is not None:
            self._trace.sent(octets)
        try:
            self._socket.sendall(octets)
        except ConnectionRefusedError as error:
            raise not_there(self._target, error) from error
        except OSError:
            self.ended = True
