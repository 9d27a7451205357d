"""The COSEM objects of a meter and the value of each attribute at a time, encoded.

Objects of IEC 62056-6-2 as a companion profile lists them: association, clock, identification, registers, AMR status,
load profile. Values come from the meter's truth; nothing is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from gurux_dlms.enums import ErrorCode

from connectors.simulator.config import DAY_MS
from connectors.simulator.encoding import Type, array, data, date_time, logical_name, obis_of, parse_date_time, structure
from connectors.simulator.image_transfer import ATTRIBUTES as IMAGE_ATTRIBUTES
from connectors.simulator.image_transfer import IMAGE_LN, IMAGE_TRANSFER, SOUND, Faults, ImageTransfer
from connectors.simulator.plan import MeterPlan
from connectors.simulator.relay import DISCONNECT_CONTROL, MODE, RELAY_LN, Relay
from connectors.simulator.truth import EXPORT, IMPORT, INSTANTANEOUS, QUARTER_MS

DATA, REGISTER, PROFILE, CLOCK, ASSOCIATION = 1, 3, 7, 8, 15

CLOCK_LN = "0.0.1.0.0.255"
DEVICE_NAME_LN = "0.0.42.0.0.255"
SERIAL_LN = "0.0.96.1.0.255"
FIRMWARE_LN = "1.0.0.2.0.255"
LOAD_PROFILE_LN = "1.0.99.1.0.255"
ASSOCIATION_LN = "0.0.40.0.0.255"

_RELAY = (DISCONNECT_CONTROL, RELAY_LN)
_IMAGE = (IMAGE_TRANSFER, IMAGE_LN)

PUBLIC_CLIENT, MANAGEMENT_CLIENT = 16, 1
PUBLIC_OBJECTS = frozenset({CLOCK_LN, DEVICE_NAME_LN, SERIAL_LN, ASSOCIATION_LN})
"""What an unauthenticated client may read, of a meter that is not open."""

ATTRIBUTES = {DATA: 2, REGISTER: 3, PROFILE: 8, CLOCK: 9, ASSOCIATION: 8, DISCONNECT_CONTROL: 4, IMAGE_TRANSFER: 7}
METHODS = {DATA: 0, REGISTER: 1, PROFILE: 2, CLOCK: 6, ASSOCIATION: 4, DISCONNECT_CONTROL: 2, IMAGE_TRANSFER: 4}


class AccessError(Exception):
    """The meter refuses the attribute; `result` is the data-access-result it answers with."""

    def __init__(self, result: int) -> None:
        super().__init__(f"data-access-result {result}")
        self.result = result


@dataclass(frozen=True, slots=True)
class Selection:
    """Selective access as it was asked: 1 range descriptor, 2 entry descriptor; parameters decoded by gurux."""

    selector: int
    parameters: list[object]


class Cosem:
    """One meter's objects. `now_ms` is the world's clock; the meter's own may be ahead or behind."""

    def __init__(
        self,
        plan: MeterPlan,
        now_ms: Callable[[], int],
        profile_days: int,
        faults: Faults = SOUND,
        restart_ms: int = 5_000,
    ) -> None:
        self.plan = plan
        self.zone = ZoneInfo(plan.model.time_zone)
        self._now_ms = now_ms
        self._profile_days = profile_days
        self.relay = Relay()
        self.firmware = plan.firmware
        self.image = ImageTransfer(
            now_ms, self._upgraded, block_size=plan.model.pdu // 2, faults=faults, restart_ms=restart_ms
        )

    def objects(self) -> list[tuple[int, str]]:
        """Class and logical name of everything the meter has."""
        registers = [(REGISTER, obis) for obis in (IMPORT, EXPORT, *INSTANTANEOUS)]
        named = [(DATA, ln) for ln in (DEVICE_NAME_LN, SERIAL_LN, FIRMWARE_LN, self.plan.model.status_obis)]
        return [
            (ASSOCIATION, ASSOCIATION_LN),
            (CLOCK, CLOCK_LN),
            *named,
            *registers,
            (PROFILE, LOAD_PROFILE_LN),
            _RELAY,
            _IMAGE,
        ]

    def columns(self) -> list[tuple[int, str, int]]:
        """Capture objects of the load profile: class, logical name, attribute."""
        return [(CLOCK, CLOCK_LN, 2), (DATA, self.plan.model.status_obis, 2), (REGISTER, IMPORT, 2), (REGISTER, EXPORT, 2)]

    def attribute(self, class_id: int, ln: str, index: int, selection: Selection | None = None) -> bytes:
        """An attribute's value, encoded. Raises AccessError with the data-access-result where there is none."""
        if index == 1:
            return data(Type.OCTETS, logical_name(ln))
        reader = {
            CLOCK: self._clock,
            DATA: self._data,
            REGISTER: self._register,
            PROFILE: self._profile,
            ASSOCIATION: self._association,
            DISCONNECT_CONTROL: self._relay,
            IMAGE_TRANSFER: self._image,
        }.get(class_id)
        if reader is None or (class_id, ln) not in self.objects():
            raise AccessError(ErrorCode.UNDEFINED_OBJECT)
        return reader(ln, index, selection)

    def invoke(self, class_id: int, ln: str, method: int, first: object = None, second: object = None) -> None:
        """Do what a method does, with the elements of its parameter. Raises AccessError with the action-result where it is
        refused: only those of the relay and of the image transfer are there.
        """
        if (class_id, ln) == _IMAGE:
            if result := self.image.invoke(method, first, second):
                raise AccessError(result)
            return
        if (class_id, ln) != _RELAY or not self.relay.invoke(method):
            raise AccessError(ErrorCode.READ_WRITE_DENIED)

    def meter_ms(self) -> int:
        """What the meter's own clock shows."""
        return self._now_ms() + self.plan.drift_ms

    def _clock(self, _ln: str, index: int, _selection: Selection | None) -> bytes:
        if index == 2:
            return date_time(self.meter_ms(), self.zone, deviation=self.plan.model.deviation)
        raise AccessError(ErrorCode.READ_WRITE_DENIED)

    def _data(self, ln: str, index: int, _selection: Selection | None) -> bytes:
        if index != 2:
            raise AccessError(ErrorCode.READ_WRITE_DENIED)
        if ln == self.plan.model.status_obis:
            return data(Type.UINT8, self.plan.load.status(self.meter_ms() // QUARTER_MS * QUARTER_MS))
        text = {DEVICE_NAME_LN: self.plan.logical_device_name, SERIAL_LN: self.plan.serial, FIRMWARE_LN: self.firmware}[ln]
        return data(Type.OCTETS, text.encode())

    def _register(self, ln: str, index: int, _selection: Selection | None) -> bytes:
        if index == 2:
            return data(Type.UINT32, self.plan.truth(ln, self._now_ms()))
        if index == 3:
            scaler, unit = self.plan.scaler_unit(ln)
            return structure(data(Type.INT8, scaler), data(Type.ENUM, unit))
        raise AccessError(ErrorCode.READ_WRITE_DENIED)

    def _relay(self, _ln: str, index: int, _selection: Selection | None) -> bytes:
        connected = self.relay.connected
        values = {2: (Type.BOOLEAN, connected), 3: (Type.ENUM, int(connected)), 4: (Type.ENUM, MODE)}
        if index not in values:
            raise AccessError(ErrorCode.READ_WRITE_DENIED)
        return data(*values[index])

    def _image(self, _ln: str, index: int, _selection: Selection | None) -> bytes:
        value = self.image.attribute(index) if index in IMAGE_ATTRIBUTES else None
        if value is None:
            raise AccessError(ErrorCode.READ_WRITE_DENIED)
        return value

    def _upgraded(self, version: str) -> None:
        self.firmware = version

    def _association(self, _ln: str, index: int, _selection: Selection | None) -> bytes:
        """Attribute 2: every object with its access rights (attributes read-only, methods of relay and image only)."""
        if index != 2:
            raise AccessError(ErrorCode.READ_WRITE_DENIED)
        rows = []
        for class_id, ln in self.objects():
            rights = array(
                structure(data(Type.INT8, number), data(Type.ENUM, 1), data(Type.NULL, None))
                for number in range(1, ATTRIBUTES[class_id] + 1)
            )
            methods = array(
                structure(data(Type.INT8, number), data(Type.ENUM, class_id in (DISCONNECT_CONTROL, IMAGE_TRANSFER)))
                for number in range(1, METHODS[class_id] + 1)
            )
            version = 1 if class_id in (PROFILE, ASSOCIATION) else 0
            name = data(Type.OCTETS, logical_name(ln))
            rows.append(structure(data(Type.UINT16, class_id), data(Type.UINT8, version), name, structure(rights, methods)))
        return array(rows)

    def _profile(self, _ln: str, index: int, selection: Selection | None) -> bytes:
        if index == 2:
            ends, columns = self._selected(selection)
            return array(self._row(end, columns) for end in ends)
        if index == 3:
            return array(_capture_object(*column) for column in self.columns())
        if index == 6:
            return _capture_object(*self.columns()[0])
        entries = self._profile_days * 96
        simple = {
            4: (Type.UINT32, QUARTER_MS // 1000),
            5: (Type.ENUM, 1),
            7: (Type.UINT32, entries),
            8: (Type.UINT32, entries),
        }
        if index not in simple:
            raise AccessError(ErrorCode.READ_WRITE_DENIED)
        return data(*simple[index])

    def _row(self, end: int, columns: list[int]) -> bytes:
        cells = []
        for column in columns:
            if column == 0:
                cells.append(date_time(end, self.zone, deviation=self.plan.model.deviation))
            elif column == 1:
                cells.append(data(Type.UINT8, self.plan.load.status(end)))
            else:
                cells.append(data(Type.UINT32, self.plan.truth((IMPORT, EXPORT)[column - 2], end)))
        return structure(*cells)

    def _selected(self, selection: Selection | None) -> tuple[range, list[int]]:
        """Interval ends and column numbers (from 0) that were asked for."""
        last = self.meter_ms() // QUARTER_MS * QUARTER_MS
        held = range(last - self._profile_days * DAY_MS + QUARTER_MS, last + 1, QUARTER_MS)
        everything = list(range(len(self.columns())))
        if selection is None:
            return held, everything
        try:
            if selection.selector == 1:
                return self._by_range(held, selection.parameters), self._named_columns(selection.parameters[3]) or everything
            if selection.selector == 2:
                return _by_entry(held, selection.parameters, everything)
        except (ValueError, TypeError, IndexError) as error:
            raise AccessError(ErrorCode.INCONSISTENT_CLASS) from error
        raise AccessError(ErrorCode.INCONSISTENT_CLASS)

    def _by_range(self, held: range, parameters: list[object]) -> range:
        """Rows whose clock lies in [from, to], both inclusive (Blue Book, range_descriptor)."""
        start, end = (parse_date_time(_octets(value), self.zone) for value in parameters[1:3])
        first = max(held.start, -(-start // QUARTER_MS) * QUARTER_MS)
        return range(first, min(held[-1], end) + 1, QUARTER_MS)

    def _named_columns(self, names: object) -> list[int]:
        if not isinstance(names, (list, tuple)):
            raise TypeError("selected_values is no array")
        wanted = [(int(name[0]), obis_of(bytes(name[1])), int(name[2])) for name in names]
        return [self.columns().index(column) for column in wanted]


def _octets(value: object) -> bytes:
    if not isinstance(value, (bytes, bytearray)):
        raise TypeError("a range's end is a date-time in an octet-string")
    return bytes(value)


def _by_entry(held: range, parameters: list[object], everything: list[int]) -> tuple[range, list[int]]:
    """Rows and columns by number from 1, 0 meaning the last (Blue Book, entry_descriptor)."""
    first, last, left, right = (value if isinstance(value, int) else 0 for value in (*parameters, 0, 0, 0, 0)[:4])
    return held[max(first - 1, 0) : last or None], everything[max(left - 1, 0) : right or None]


def _capture_object(class_id: int, ln: str, attribute: int) -> bytes:
    name = data(Type.OCTETS, logical_name(ln))
    return structure(data(Type.UINT16, class_id), name, data(Type.INT8, attribute), data(Type.UINT16, 0))
