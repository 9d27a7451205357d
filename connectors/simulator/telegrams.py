"""Push telegrams, encoded and ciphered by gurux-dlms: what each meter type says, and the bytes it says it in.

A telegram's content is fixed when the meter decides to send it (`Telegram`); its bytes are made for each attempt, since a
ciphered repetition needs a fresh invocation counter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from gurux_dlms import GXDLMS, GXByteBuffer, GXDLMSLNParameters
from gurux_dlms.enums import Command, Conformance, InterfaceType, Priority, Security, ServiceClass
from gurux_dlms.secure import GXDLMSSecureNotify

from connectors.simulator.cosem import CLOCK, CLOCK_LN, DATA, DEVICE_NAME_LN, REGISTER, SERIAL_LN
from connectors.simulator.encoding import Type, array, data, date_time, gurux_time, logical_name, structure
from connectors.simulator.models import Layout
from connectors.simulator.plan import MeterPlan
from connectors.simulator.truth import EXPORT, IMPORT
from schemas.records import Transport

PUSH_SETUP, PUSH_SETUP_LN = 40, "0.0.25.9.0.255"
PUSH_CLIENT = 103  # destination wPort of pushes; the client that push setup names
MANAGEMENT_DEVICE = 1  # source wPort
UI = 0x13  # HDLC unnumbered information, final bit set
HDLC_SEGMENT = 128  # information field, octets
MBUS_SEGMENT = 240  # of an APDU in one M-Bus long frame
LARGEST_PDU = 0xFFFF


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a push: an attribute with what it holds. `scaler_unit` only for registers."""

    class_id: int
    obis: str
    kind: Type
    raw: int | str
    scaler_unit: tuple[int, int] | None = None

    def encoded(self) -> bytes:
        """The value alone, as A-XDR."""
        return data(self.kind, self.raw.encode() if isinstance(self.raw, str) and self.kind is Type.OCTETS else self.raw)


@dataclass(frozen=True, slots=True)
class Telegram:
    """What a meter wants to say, fixed at `meter_ms` (whole seconds, the meter's own clock)."""

    meter_ms: int
    invoke_id: int  # 24 bits
    values: tuple[Value, ...]
    confirmed: bool  # service class asked for


def register_values(plan: MeterPlan, at_ms: int) -> tuple[Value, ...]:
    """The registers that a meter of this type pushes, as they stand at a time (UTC)."""
    layout = plan.model.layout
    if layout is Layout.FLAT:
        return _kamstrup_values(plan, at_ms)
    if layout is Layout.HAN_POSITIONAL:
        return _kaifa_values(plan, at_ms)
    named = [
        Value(DATA, DEVICE_NAME_LN, Type.OCTETS, plan.logical_device_name),
        Value(DATA, SERIAL_LN, Type.OCTETS, plan.serial),
    ]
    wanted = (IMPORT, EXPORT, "1.0.1.7.0.255", "1.0.2.7.0.255", "1.0.32.7.0.255", "1.0.31.7.0.255")
    return (*named, *(_register(plan, obis, at_ms) for obis in wanted))


def _register(plan: MeterPlan, obis: str, at_ms: int) -> Value:
    kind = Type.UINT16 if obis.split(".")[2] in ("32", "52", "72", "31", "51", "71") else Type.UINT32
    return Value(REGISTER, obis, kind, plan.truth(obis, at_ms), plan.scaler_unit(obis))


def _kamstrup_values(plan: MeterPlan, at_ms: int) -> tuple[Value, ...]:
    """Kamstrup's list: B is 1, voltages in whole volts, no scaler in the telegram."""
    energies = ("1.0.1.8.0.255", "1.0.2.8.0.255", "1.0.1.7.0.255", "1.0.2.7.0.255", "1.0.3.7.0.255", "1.0.4.7.0.255")
    values = [Value(REGISTER, _phase_b(obis), Type.UINT32, plan.truth(obis, at_ms)) for obis in energies]
    voltages, currents = (tuple(f"1.0.{phase}{kind}.7.0.255" for phase in (3, 5, 7)) for kind in (2, 1))
    values += [Value(REGISTER, _phase_b(obis), Type.UINT16, plan.truth(obis, at_ms) // 10) for obis in voltages]
    values += [Value(REGISTER, _phase_b(obis), Type.UINT32, plan.truth(obis, at_ms)) for obis in currents]
    return tuple(values)


def _phase_b(obis: str) -> str:
    return "1.1." + obis.split(".", 2)[2]


def _kaifa_values(plan: MeterPlan, at_ms: int) -> tuple[Value, ...]:
    """Kaifa's Norwegian list 2, three-phase: 13 positions, currents in mA, voltages in 0.1 V, all double-long-unsigned."""
    values = [Value(DATA, SERIAL_LN, Type.OCTETS, plan.serial), Value(DATA, "0.0.96.1.7.255", Type.OCTETS, plan.model.model)]
    powers = ("1.0.1.7.0.255", "1.0.2.7.0.255", "1.0.3.7.0.255", "1.0.4.7.0.255")
    values += [Value(REGISTER, obis, Type.UINT32, plan.truth(obis, at_ms)) for obis in powers]
    for obis in ("1.0.31.7.0.255", "1.0.51.7.0.255", "1.0.71.7.0.255"):
        values.append(Value(REGISTER, obis, Type.UINT32, plan.truth(obis, at_ms) * 10))
    for obis in ("1.0.32.7.0.255", "1.0.52.7.0.255", "1.0.72.7.0.255"):
        values.append(Value(REGISTER, obis, Type.UINT32, plan.truth(obis, at_ms)))
    return tuple(values)


def event_values(plan: MeterPlan, obis: str, code: int) -> tuple[Value, ...]:
    """An event of its own: who, and the event code object of the log it belongs to. Small, as a last gasp must be."""
    event = Value(DATA, obis, Type.UINT32 if obis.startswith("0.0.97.98.") else Type.UINT8, code)
    if plan.model.layout is Layout.FLAT:
        return (event,)
    return (Value(DATA, DEVICE_NAME_LN, Type.OCTETS, plan.logical_device_name), event)


def body(plan: MeterPlan, telegram: Telegram) -> bytes:
    """The notification body in the layout of the meter's type."""
    model, values = plan.model, telegram.values
    zone = ZoneInfo(model.time_zone)
    if model.layout is Layout.TAGGED:
        return structure(*(_tagged(value) for value in values))
    if model.layout is Layout.OBJECT_LIST:
        objects = [(PUSH_SETUP, PUSH_SETUP_LN), *((value.class_id, value.obis) for value in values)]
        descriptors = array(
            structure(
                data(Type.UINT16, class_id), data(Type.OCTETS, logical_name(obis)), data(Type.INT8, 2), data(Type.UINT16, 0)
            )
            for class_id, obis in objects
        )
        return structure(descriptors, *(value.encoded() for value in values))
    if model.layout is Layout.FLAT:
        clock = (
            data(Type.OCTETS, logical_name("0.1.1.0.0.255")),
            date_time(telegram.meter_ms, zone, deviation=model.deviation),
        )
        pairs = [part for value in values for part in (data(Type.OCTETS, logical_name(value.obis)), value.encoded())]
        return structure(data(Type.TEXT, model.list_name), *pairs[:12], *clock, *pairs[12:])
    if model.layout is Layout.HAN_POSITIONAL:
        return structure(data(Type.OCTETS, model.list_name.encode()), *(value.encoded() for value in values))
    clock_value = date_time(telegram.meter_ms, zone, deviation=model.deviation)
    described = [
        _described(CLOCK, CLOCK_LN, clock_value),
        *(_described(value.class_id, value.obis, value.encoded()) for value in values),
    ]
    return structure(data(Type.ENUM, 1), array(described))


def _tagged(value: Value) -> bytes:
    """{OBIS, value} or, for a register, {OBIS, value, {scaler, unit}}."""
    parts = [data(Type.OCTETS, logical_name(value.obis)), value.encoded()]
    if value.scaler_unit is not None:
        parts.append(structure(data(Type.INT8, value.scaler_unit[0]), data(Type.ENUM, value.scaler_unit[1])))
    return structure(*parts)


def _described(class_id: int, obis: str, encoded: bytes) -> bytes:
    """A structure of two whose first is a COSEM attribute descriptor without tags, as access services write it."""
    return b"\x02\x02" + class_id.to_bytes(2, "big") + logical_name(obis) + b"\x02" + encoded


@dataclass(frozen=True, slots=True)
class Secret:
    """What a telegram is ciphered with; its repr shows nothing."""

    system_title: bytes
    encryption_key: bytes
    authentication_key: bytes

    def __repr__(self) -> str:
        return f"Secret({self.system_title.hex().upper()})"


def secret_of(plan: MeterPlan) -> Secret | None:
    """The meter's own keys; none where its type sends plainly."""
    return Secret(plan.system_title, plan.encryption_key, plan.authentication_key) if plan.model.ciphered else None


def apdu(plan: MeterPlan, telegram: Telegram, secret: Secret | None, invocation_counter: int = 0) -> bytes:
    """A data-notification (0x0F), or the same within general-glo-ciphering (0xDB), suite 0, authenticated and encrypted."""
    notify = GXDLMSSecureNotify(True, PUSH_CLIENT, MANAGEMENT_DEVICE, InterfaceType.PDU)
    settings = notify.settings
    settings.maxPduSize = LARGEST_PDU
    settings.priority = Priority.NORMAL
    settings.serviceClass = ServiceClass.CONFIRMED if telegram.confirmed else ServiceClass.UN_CONFIRMED
    settings.setLongInvokeID(telegram.invoke_id)
    if secret is not None:
        cipher = notify.ciphering
        cipher.security = Security.AUTHENTICATION_ENCRYPTION
        cipher.systemTitle = bytearray(secret.system_title)
        cipher.blockCipherKey = bytearray(secret.encryption_key)
        cipher.authenticationKey = bytearray(secret.authentication_key)
        cipher.invocationCounter = invocation_counter
        # How gurux is told to send general-glo, which carries the system title, without an association.
        settings.preEstablishedSystemTitle = bytearray(secret.system_title)
        settings.proposedConformance |= Conformance.GENERAL_PROTECTION
    parameters = GXDLMSLNParameters(
        settings, 0, Command.DATA_NOTIFICATION, 0, None, GXByteBuffer(body(plan, telegram)), 0xFF
    )
    parameters.time = gurux_time(telegram.meter_ms, ZoneInfo(plan.model.time_zone), deviation=plan.model.deviation)
    messages = GXDLMS.getLnMessages(parameters)
    return bytes(messages[0])


def plain_apdu(plan: MeterPlan, telegram: Telegram) -> bytes:
    """What a telegram says, without ciphering: the same however often it is sent."""
    return apdu(plan, telegram, None)


def framed(transport: Transport, message: bytes, segment: int = HDLC_SEGMENT) -> bytes:
    """An APDU as the bytes of its transport, all frames of it."""
    if transport is Transport.WRAPPER:
        return wrapper(message)
    if transport is Transport.HDLC:
        return hdlc(message, segment)
    if transport is Transport.MBUS:
        return mbus(message)
    return message


def wrapper(message: bytes) -> bytes:
    """IEC 62056-47: one wrapper frame from the meter's management device to the push client."""
    notify = GXDLMSSecureNotify(True, PUSH_CLIENT, MANAGEMENT_DEVICE, InterfaceType.WRAPPER)
    return bytes(GXDLMS.getWrapperFrame(notify.settings, Command.DATA_NOTIFICATION, GXByteBuffer(message)))


def hdlc(message: bytes, segment: int = HDLC_SEGMENT) -> bytes:
    """IEC 62056-46: LLC header and APDU in UI frames of format type 3, segmented where longer than `segment` octets."""
    notify = GXDLMSSecureNotify(True, PUSH_CLIENT, MANAGEMENT_DEVICE, InterfaceType.HDLC)
    notify.settings.hdlc.maxInfoTX = segment
    rest = GXByteBuffer(b"\xe6\xe7\x00" + message)
    frames = b""
    while len(rest):
        frames += bytes(GXDLMS.getHdlcFrame(notify.settings, UI, rest))
    return frames


def mbus(message: bytes) -> bytes:
    """EN 13757-2 long frames, EN 13757-3 segmentation in CI (bit 4 the last, bits 0 to 3 the number), then the two SAPs."""
    pieces: Sequence[bytes] = [message[at : at + MBUS_SEGMENT] for at in range(0, len(message), MBUS_SEGMENT)]
    frames = b""
    for number, piece in enumerate(pieces):
        control_information = (number & 0x0F) | (0x10 if number == len(pieces) - 1 else 0)
        content = bytes([0x53, 0xFF, control_information, 0x01, 0x67]) + piece
        frames += bytes([0x68, len(content), len(content), 0x68]) + content + bytes([sum(content) & 0xFF, 0x16])
    return frames
