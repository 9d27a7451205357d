"""What can be set of ANSI C12 beside the gateway's own settings, from the same sources: HES_C1222__TCP_PORT and so on."""

from __future__ import annotations

from pydantic import BaseModel, Field

from streams.runtime.settings import Settings


class C1222(BaseModel):
    """C12.22: where meters register and notify, and who we are to them."""

    tcp_port: int = Field(-1, ge=-1, le=65_535, description="meters register and notify here (1153); 0 takes a free one")
    udp_port: int = Field(-1, ge=-1, le=65_535, description="the same by datagrams; -1 is none")
    title: str = Field(
        ".1", pattern=r"^\.?[0-9]+(\.[0-9]+)*$", description="our application title; after a dot, relative to the base"
    )
    registration_period_s: int = Field(86_400, ge=60, le=0xFFFFFF, description="meters are told to register again by then")


class C12Settings(Settings):
    """The services' settings with the section `c1222`."""

    c1222: C1222 = C1222()
