"""A room of transfers that lack the same blocks: what it sends, when, and who goes. Time in the test's hands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from connectors.gateway.group_blocks import Phase, Room, Rules, Seat, Wants, mask_of

RULES = Rules(gather_s=30, full=3, rounds=2, gap_s=5, answer_s=60)
ALL = range(20)


@dataclass
class Course:
    """A room as it goes on, a second at a time."""

    rules: Rules = RULES
    clear: bool = True
    now: int = 0
    sent: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.room = Room(self.rules, 0)

    def enter(self, lacks: Iterable[int] = ALL) -> Seat:
        return self.room.enter(mask_of(lacks))

    def run(self, seconds: int, blocks_a_second: int = 1_000) -> Phase:
        """What goes to the group in that time."""
        for _ in range(seconds):
            self.now += 1_000
            self.room.look(self.now, clear=self.clear)
            for _ in range(blocks_a_second):
                number = self.room.block()
                if number is None:
                    break
                self.room.went()
                self.sent.append(number)
        return self.room.phase

    def until(self, phase: Phase, seconds: int = 200) -> None:
        for _ in range(seconds):
            if self.run(1) is phase:
                return
        raise AssertionError(f"{phase} did not come: {self.room.phase}")


@pytest.mark.parametrize(
    ("lacks", "sent"),
    [
        pytest.param([ALL, ALL, ALL], list(ALL), id="all-lack-all"),
        pytest.param([ALL, range(10, 20), ()], list(range(10, 20)), id="what-two-lack"),
        pytest.param([ALL, (), ()], [], id="one-alone-gets-its-own"),
        pytest.param([(0, 3), (3, 7), (7, 0)], [0, 3, 7], id="in-pairs"),
        pytest.param([(), (), ()], [], id="nobody-lacks-any"),
    ],
)
def test_what_a_round_sends(lacks: list[Iterable[int]], sent: list[int]) -> None:
    course = Course()
    for each in lacks:
        course.enter(each)
    assert course.run(1) is (Phase.SENDING if sent else Phase.OVER)
    course.run(1)
    assert course.sent == sent


@pytest.mark.parametrize(
    ("seats", "seconds", "clear", "phase"),
    [
        pytest.param(1, 29, True, Phase.GATHERING, id="waits"),
        pytest.param(3, 1, True, Phase.SENDING, id="full"),
        pytest.param(2, 30, True, Phase.SENDING, id="two-in-time"),
        pytest.param(1, 30, True, Phase.OVER, id="nobody-else-came"),
        pytest.param(0, 30, True, Phase.OVER, id="everybody-left"),
        pytest.param(3, 1, False, Phase.OVER, id="another-image-is-on-its-way"),
    ],
)
def test_when_it_begins(seats: int, seconds: int, clear: bool, phase: Phase) -> None:
    course = Course(clear=clear)
    for _ in range(seats):
        course.enter()
    assert course.run(seconds, blocks_a_second=0) is phase


def test_two_rounds_and_then_each_by_itself() -> None:
    course = Course()
    one, two, three = (course.enter() for _ in range(3))
    course.until(Phase.SETTLING)
    assert (course.sent, course.room.wants(one)) == (list(ALL), Wants.WAIT)
    course.run(4)
    assert course.room.phase is Phase.SETTLING
    assert course.run(1) is Phase.ASKING
    assert {course.room.wants(seat) for seat in (one, two, three)} == {Wants.TELL}
    for seat, lacks in ((one, (1, 2)), (two, (2, 3)), (three, (5,))):
        course.room.tell(seat, mask_of(lacks))
    assert [course.room.wants(seat) for seat in (one, two, three)] == [Wants.WAIT] * 3
    course.until(Phase.ASKING)
    assert course.sent == [*ALL, 2]
    for seat in (one, two, three):
        course.room.tell(seat, seat.lacks & ~mask_of((2,)))
    assert course.run(1) is Phase.OVER
    assert [course.room.wants(seat) for seat in (one, two, three)] == [Wants.GO] * 3
    assert not course.room.deaf


def test_who_comes_late_takes_the_rest_of_the_round_and_lacks_the_beginning_in_the_next() -> None:
    course = Course(Rules(gather_s=1, full=9, rounds=2, gap_s=0, answer_s=60))
    seats = [course.enter(), course.enter()]
    course.run(5, blocks_a_second=2)
    assert course.sent == list(range(10))
    seats += [course.enter(), course.enter()]
    course.until(Phase.ASKING)
    for seat in seats[:2]:
        course.room.tell(seat, 0)
    for seat in seats[2:]:
        course.room.tell(seat, mask_of(range(10)))
    course.until(Phase.ASKING)
    assert course.sent == [*ALL, *range(10)]


@pytest.mark.parametrize("left", [2, 1, 0])
def test_who_leaves_needs_nothing_any_more_and_the_last_ones_end_it(left: int) -> None:
    course = Course()
    seats = [course.enter() for _ in range(3)]
    course.run(3, blocks_a_second=2)
    before = len(course.sent)
    for seat in seats[left:]:
        course.room.leave(seat)
        course.room.leave(seat)
        assert course.room.wants(seat) is Wants.GO
    phase = course.run(1, blocks_a_second=1)
    assert (phase, len(course.sent) - before) == ((Phase.SENDING, 1) if left == 2 else (Phase.OVER, 0))


def test_who_heard_nothing_goes_and_who_does_not_tell_in_time() -> None:
    course = Course(Rules(gather_s=1, full=4, rounds=2, gap_s=0, answer_s=10))
    hears, hears_too, deaf, busy = (course.enter() for _ in range(4))
    course.until(Phase.ASKING)
    course.room.tell(hears, mask_of((1, 2)))
    course.room.tell(hears_too, mask_of((1, 2)))
    course.room.tell(deaf, mask_of(ALL))
    assert course.run(9) is Phase.ASKING
    assert course.run(1) is Phase.SENDING
    assert [course.room.wants(seat) for seat in (hears, hears_too, deaf, busy)] == [Wants.WAIT, Wants.WAIT, *[Wants.GO] * 2]
    assert not course.room.deaf


@pytest.mark.parametrize(("gained", "deaf"), [(0, True), (1, False)])
def test_a_group_that_nobody_heard(gained: int, deaf: bool) -> None:
    course = Course()
    seats = [course.enter() for _ in range(3)]
    course.until(Phase.ASKING)
    for seat in seats:
        course.room.tell(seat, mask_of(ALL))
    course.room.tell(seats[0], mask_of(range(gained, 20)))
    course.run(1)
    assert (course.room.phase, course.room.deaf) == (Phase.OVER, deaf)


def test_a_second_round_in_vain_does_not_say_that_nobody_hears() -> None:
    course = Course()
    seats = [course.enter() for _ in range(3)]
    for lacks in (range(10), range(10)):
        course.until(Phase.ASKING)
        for seat in seats:
            course.room.tell(seat, mask_of(lacks))
    assert (course.run(1), course.room.deaf, len(course.sent)) == (Phase.OVER, False, 30)


def test_who_lacks_nothing_more_goes_while_others_have_another_round() -> None:
    course = Course()
    whole, one, two = (course.enter() for _ in range(3))
    course.until(Phase.ASKING)
    for seat, lacks in ((whole, ()), (one, (3,)), (two, (3,))):
        course.room.tell(seat, mask_of(lacks))
    course.run(1)
    assert [course.room.wants(seat) for seat in (whole, one, two)] == [Wants.GO, Wants.WAIT, Wants.WAIT]


def test_too_few_blocks_tell_nothing_of_hearing() -> None:
    course = Course(Rules(gather_s=1, full=2, rounds=1, gap_s=0))
    seats = [course.enter(range(7)), course.enter(range(7))]
    course.until(Phase.ASKING)
    for seat in seats:
        course.room.tell(seat, mask_of(range(7)))
    course.run(1)
    assert (course.room.phase, course.room.deaf) == (Phase.OVER, False)


def test_another_image_that_comes_into_the_segment_ends_it() -> None:
    course = Course()
    for _ in range(3):
        course.enter()
    course.run(2, blocks_a_second=1)
    course.clear = False
    assert (course.run(1), course.sent) == (Phase.OVER, [0, 1])


def test_nobody_enters_a_room_that_is_over_and_telling_it_changes_nothing() -> None:
    course = Course()
    seat = course.enter()
    course.room.end()
    with pytest.raises(RuntimeError, match="over"):
        course.enter()
    course.room.leave(seat)
    course.room.tell(seat, 1)
    course.room.look(1 << 40, clear=True)
    assert (course.room.phase, course.room.seats, course.room.block()) == (Phase.OVER, (), None)


@pytest.mark.parametrize("numbers", [(), (0,), (7, 8), (1_000_000,)], ids=str)
def test_masks(numbers: tuple[int, ...]) -> None:
    assert mask_of(numbers) == sum(1 << number for number in numbers)
