"""Every target by its name."""

from __future__ import annotations

from tests.fuzz import (
    authority_targets,
    c12_gateway_targets,
    c12_system_targets,
    c12_table_targets,
    c1218_targets,
    c1222_targets,
    column_targets,
    link_targets,
    object_targets,
    oms_targets,
    profile_targets,
    pull_targets,
    push_targets,
    system_targets,
)
from tests.fuzz.harness import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for room in (
        push_targets,
        pull_targets,
        profile_targets,
        link_targets,
        object_targets,
        system_targets,
        c1218_targets,
        c1222_targets,
        c12_table_targets,
        c12_system_targets,
        c12_gateway_targets,
        authority_targets,
        column_targets,
        oms_targets,
    )
    for target in room.TARGETS
}
