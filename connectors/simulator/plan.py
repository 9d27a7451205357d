"""From a seed to the meters of a fleet: type, keys, consumption, clock, place in the grid."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from connectors.protocols.c12.titles import C1222_BASE
from connectors.simulator.config import FleetConfig
from connectors.simulator.models import C12_MODELS, MODELS, MeterModel
from connectors.simulator.truth import (
    ENERGY_UNIT,
    EXPORT,
    IMPORT,
    INSTANTANEOUS,
    INTERVALS_OF,
    QUARTER_MS,
    SHAPES,
    Load,
    mix,
)
from schemas.records import Network

SEGMENT_SIZES = {Network.PLC_G3: 50, Network.PLC_PRIME: 50, Network.RF_MESH: 100, Network.NB_IOT: 40, Network.ETHERNET: 200}
"""How many meters share a concentrator, mesh collector, cell or switch."""


@dataclass(frozen=True, slots=True)
class MeterPlan:
    """Everything about one meter that does not change during a run."""

    index: int
    model: MeterModel
    serial: str
    load: Load
    transformer: str
    feeder: str
    segment: str
    life_support: bool
    drift_ms: int  # how far its clock is ahead
    last_gasp: bool  # whether its capacitor lasts long enough to report an outage
    first_invoke_id: int
    firmware: str
    encryption_key: bytes = field(repr=False)
    authentication_key: bytes = field(repr=False)
    password: str = field(repr=False)
    broadcast_key: bytes = field(default=b"", repr=False)
    """Of all meters of its segment, which have one authentication key, too; empty where the fleet hears no group."""

    @property
    def id(self) -> str:
        """The utility's name for the meter."""
        return f"{self.model.flag}{self.serial}"

    @property
    def logical_device_name(self) -> str:
        """COSEM logical device name: 16 characters, manufacturer first."""
        return f"{self.model.flag}{self.serial:0>13}"

    @property
    def system_title(self) -> bytes:
        """8 octets: manufacturer, then the serial number in 5."""
        return self.model.flag.encode() + int(self.serial).to_bytes(5, "big")

    @property
    def key_ref(self) -> str:
        """The name of its keys in the key store."""
        return f"meters/{self.id}"

    def truth(self, obis: str, at_ms: int) -> int:
        """The raw integer of a register at a time."""
        return self.load.raw(obis, at_ms)

    def interval(self, obis: str, end_ms: int) -> int:
        """What an energy register counted in the quarter of an hour that ended then."""
        return self.load.raw(obis, end_ms) - self.load.raw(obis, end_ms - QUARTER_MS)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of its load profile: meters of C12 hold what was counted in an interval, others the registers."""
        return (IMPORT, EXPORT) if self.model.c12 is None else tuple(INTERVALS_OF)

    def row(self, channel: str, end_ms: int) -> int:
        """What its load profile holds of a channel for the interval that ended then."""
        return self.truth(channel, end_ms) if self.model.c12 is None else self.interval(INTERVALS_OF[channel], end_ms)

    @property
    def ap_title(self) -> str:
        """Of a meter of C12.22: its application title, relative to the base where it begins with a dot."""
        relative = f".{self.serial}"
        return relative if self.model.c12 is None or self.model.c12.relative else f"{C1222_BASE.text}{relative}"

    def scaler_unit(self, obis: str) -> tuple[int, int]:
        """Scaler and Blue Book unit of a register."""
        if obis in (IMPORT, EXPORT):
            return self.load.energy_scaler, ENERGY_UNIT
        register = INSTANTANEOUS[obis]
        return register.scaler, register.unit


def plan_fleet(config: FleetConfig) -> tuple[MeterPlan, ...]:
    """The fleet of a seed. A meter's plan depends on the seed and its index only, so a larger fleet contains the smaller."""
    confirmed = [model for model in MODELS if model.confirmed]
    others = [model for model in MODELS if not model.confirmed and (config.udp_to is not None or not model.udp)]
    return tuple(_meter(config, index, confirmed, others) for index in range(config.meters))


def _meter(config: FleetConfig, index: int, confirmed: Sequence[MeterModel], others: Sequence[MeterModel]) -> MeterPlan:
    rng = random.Random(mix(config.seed, index))  # noqa: S311 - repeatability is the point; these keys guard nothing
    pool = others if rng.random() < config.unconfirmed_share else confirmed
    if mix(config.seed, index, 1222) % 10_000 < config.c12_share * 10_000:  # a draw of its own: the others stay as they are
        pool = C12_MODELS
    model = rng.choices(pool, [candidate.weight for candidate in pool])[0]
    transformer = index // config.meters_per_transformer
    solar = rng.random() < 0.2
    load = Load(
        seed=rng.getrandbits(48),
        shape=rng.choices(range(len(SHAPES)), (8, 1, 1))[0],
        import_start=rng.randrange(1_000_000, 300_000_000),
        import_daily=rng.randrange(30_000, 260_000),
        export_start=rng.randrange(0, 50_000_000) if solar else 0,
        export_daily=rng.randrange(40_000, 200_000) if solar else 0,
        energy_scaler=rng.choice(model.energy_scalers),
    )
    segment = f"{model.network.value.lower()}-{index // SEGMENT_SIZES[model.network]:03d}"
    plan = MeterPlan(
        index=index,
        model=model,
        serial=f"{30_000_000 + config.seed % 1000 * 100_000 + index}",
        load=load,
        transformer=f"TR-{transformer:04d}",
        feeder=f"FD-{transformer // config.transformers_per_feeder:03d}",
        segment=segment,
        life_support=rng.random() < config.life_support_share,
        drift_ms=rng.choice((-1, 1)) * rng.randrange(30, 600) * 1000 if rng.random() < config.drift_share else 0,
        last_gasp=rng.random() < 0.85,
        first_invoke_id=rng.randrange(1, 1 << 20),
        firmware=f"{rng.randrange(1, 4)}.{rng.randrange(10)}.{rng.randrange(20)}",
        encryption_key=rng.randbytes(16),
        authentication_key=rng.randbytes(16),
        password="".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=8)),
    )
    if config.group is None or model.c12 is not None:
        return plan
    shared = random.Random(f"{config.seed}/{segment}")  # noqa: S311 - as above
    return replace(plan, authentication_key=shared.randbytes(16), broadcast_key=shared.randbytes(16))
