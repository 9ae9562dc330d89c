"""The working calendar against two libraries, day by day; windows that are never early and never missed for good."""

from __future__ import annotations

import datetime as dt
from itertools import islice
from zoneinfo import ZoneInfo

import chinese_calendar
import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bank import Bank, Window, WireKind
from gateway.core.calendar import (
    CHINA,
    CHINA_TIME,
    calendar_warning,
    check_window,
    is_open,
    is_working,
    last_working,
    next_slot,
    next_working,
    read_calendar,
    takes_documents,
    windows,
)
from gateway.core.calendar_data import YEARS
from gateway.core.errors import Code, Refused

FIRST, LAST = dt.date(2014, 1, 1), dt.date(2026, 12, 31)
DAYS = [FIRST + dt.timedelta(days) for days in range((LAST - FIRST).days + 1)]


def bank(*, working: tuple[dt.date, ...] = (), closed: tuple[dt.date, ...] = (), window: Window | None = None) -> Bank:
    """A Bank with these days and this window."""
    return Bank(
        code="BANKA",
        name="A",
        adapter="any",
        wire=WireKind.FOLDER,
        customer="1",
        window=window or Window(),
        calendar_extra_working=working,
        calendar_extra_closed=closed,
    )


def china(text: str) -> dt.datetime:
    """An instant from China's wall clock."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=CHINA_TIME)


def test_every_day_is_as_chinesecalendar_says() -> None:
    """The table and the library that it came from agree on all 4,748 days."""
    assert len(DAYS) == 4748
    assert [day for day in DAYS if is_working(day) != chinese_calendar.is_workday(day)] == []


def test_every_day_is_as_holidays_says() -> None:
    """An independent library agrees for every year that both have notices of."""
    other = holidays.China(years=sorted(YEARS))
    assert [day for day in DAYS if is_working(day) != other.is_working_day(day)] == []


def test_the_zone_is_the_tz_databases() -> None:
    """China's fixed offset is what Asia/Shanghai says on every day that the table covers."""
    zone = ZoneInfo("Asia/Shanghai")
    for day in DAYS:
        noon = dt.datetime(day.year, day.month, day.day, 12)
        assert noon.replace(tzinfo=zone).utcoffset() == CHINA_TIME.utcoffset(noon)


@pytest.mark.parametrize("day", [dt.date(2013, 12, 31), dt.date(2027, 1, 1), dt.date(2027, 1, 2)])
def test_an_unknown_year_is_closed(day: dt.date) -> None:
    """Weekday or weekend, no year is guessed."""
    with pytest.raises(Refused, match=f"publish the calendar for {day.year}") as caught:
        is_working(day, bank())
    assert caught.value.code is Code.POLICY


def test_a_published_year_opens() -> None:
    """A notice given by the configuration is enough for the year, and is checked like our own."""
    calendar = {**CHINA, **read_calendar({2027: ("0101", "0109")})}
    assert not is_working(dt.date(2027, 1, 1), calendar=calendar)
    assert is_working(dt.date(2027, 1, 9), calendar=calendar)
    assert is_working(dt.date(2027, 1, 4), calendar=calendar)


@pytest.mark.parametrize("notice", [("0230", ""), ("0102", ""), ("", "0101"), ("1", ""), ("01011", ""), ("+101", "")])
def test_a_wrong_notice_is_refused(notice: tuple[str, str]) -> None:
    """No such day, a holiday on a weekend (2 January 2027 is a Saturday), a make-up day on a weekday."""
    with pytest.raises(Refused) as caught:
        read_calendar({2027: notice})
    assert caught.value.code is Code.RANGE


def test_the_next_years_notice_is_missed_from_november() -> None:
    """Quiet while it cannot be there yet, a sentence from 1 November on, and at once for the current year."""
    assert calendar_warning(dt.date(2025, 12, 31)) == ""
    assert calendar_warning(dt.date(2026, 10, 31)) == ""
    assert "2027" in calendar_warning(dt.date(2026, 11, 1))
    assert "2027" in calendar_warning(dt.date(2027, 1, 1))


def test_a_banks_own_days_win() -> None:
    """Extra working and closed days go before the notice, closed first, and stand in for a year without one."""
    sunday, monday, unknown = dt.date(2015, 6, 14), dt.date(2015, 6, 15), dt.date(2027, 1, 4)
    own = bank(working=(sunday, unknown), closed=(monday,))
    assert is_working(sunday, own)
    assert not is_working(monday, own)
    assert is_working(unknown, own)
    assert not is_working(sunday, bank(working=(sunday,), closed=(sunday,)))
    assert not is_working(sunday, bank())


def test_neighbouring_working_days() -> None:
    """Over the Dragon Boat days of 2015 (20 to 22 June) in both directions; a working day is its own neighbour."""
    friday, monday, tuesday = dt.date(2015, 6, 19), dt.date(2015, 6, 22), dt.date(2015, 6, 23)
    assert next_working(monday) == tuesday
    assert last_working(monday) == friday
    assert next_working(friday) == last_working(friday) == friday


# (pay date, now, early, the slot's day): June 2015, window 08:30 to 16:30, 20 to 22 June off.
SLOTS = [
    ("2015-06-15", "2015-06-11T10:00", False, "2015-06-15"),  # not before the pay date
    ("2015-06-15", "2015-06-15T07:00", False, "2015-06-15"),  # today, not open yet
    ("2015-06-15", "2015-06-15T16:29", False, "2015-06-15"),  # today, open
    ("2015-06-15", "2015-06-15T16:30", False, "2015-06-16"),  # missed by a minute: caught up in the next one
    ("2015-06-01", "2015-06-19T17:00", False, "2015-06-23"),  # long missed, over the holiday
    ("2015-06-22", "2015-06-15T10:00", False, "2015-06-23"),  # a holiday: the next window, never early
    ("2015-06-22", "2015-06-15T10:00", True, "2015-06-19"),  # the release says so: the working day before
    ("2015-06-22", "2015-06-19T17:00", True, "2015-06-23"),  # that one is over as well
    ("2015-06-22", "2015-06-21T09:00", True, "2015-06-23"),
    ("2015-06-15", "2015-06-11T10:00", True, "2015-06-15"),  # a working day is obeyed even so
]


@pytest.mark.parametrize(("pay_date", "now", "early", "day"), SLOTS)
def test_the_slot_of_a_pay_date(pay_date: str, now: str, early: bool, day: str) -> None:
    """The requested date is the earliest day, the next window catches up, early is one's own word."""
    slot = next_slot(bank(), dt.date.fromisoformat(pay_date), china(now), early=early)
    assert slot == (china(f"{day}T08:30"), china(f"{day}T16:30"))


def test_any_zone_asks_the_same_question() -> None:
    """UTC inside: 00:30 UTC is 08:30 in China."""
    utc = dt.datetime(2015, 6, 15, 0, 30, tzinfo=dt.UTC)
    assert is_open(bank(), utc)
    assert not is_open(bank(), utc - dt.timedelta(microseconds=1))
    assert is_open(bank(), china("2015-06-15T16:29:59"))
    assert not is_open(bank(), china("2015-06-15T16:30"))
    assert not is_open(bank(), china("2015-06-22T12:00"))
    assert next_slot(bank(), dt.date(2015, 6, 15), utc).holds(utc)
    with pytest.raises(ValueError, match="zone"):
        is_open(bank(), dt.datetime(2015, 6, 15, 9))


def test_a_bank_of_every_day() -> None:
    """Holidays and unknown years are open there, its own closed days are not, and 24:00 is the end of the day."""
    always = bank(window=Window(opens="00:00", cut_off="24:00", every_day=True), closed=(dt.date(2027, 1, 2),))
    assert is_open(always, china("2027-01-01T23:59"))
    assert not is_open(always, china("2027-01-02T12:00"))
    assert next_slot(always, dt.date(2027, 1, 2), china("2026-12-31T12:00")).opens == china("2027-01-03T00:00")


def test_windows_come_in_order_and_end_loudly() -> None:
    """One a working day, none over at the start, and an error where the known years end."""
    assert [slot.opens.day for slot in islice(windows(bank(), china("2015-06-18T16:30")), 3)] == [19, 23, 24]
    slots = windows(bank(), china("2026-12-30T09:00"))
    assert [next(slots).opens.day, next(slots).opens.day] == [30, 31]
    with pytest.raises(Refused, match="2027"):
        next(slots)


def test_a_pay_date_in_an_unknown_year_is_refused() -> None:
    """At acceptance already, when the window is predicted; and one that no calendar can have."""
    for day in (dt.date(2027, 1, 4), dt.date(9999, 12, 31)):
        with pytest.raises(Refused):
            next_slot(bank(), day, china("2026-12-01T09:00"))


@pytest.mark.parametrize(
    "window",
    [
        Window(opens="16:30", cut_off="08:30"),
        Window(opens="09:00", cut_off="09:00"),
        Window(opens="8:30"),
        Window(cut_off="24:01"),
        Window(cut_off="16.30"),
        Window(opens="08:30\n"),
    ],
)
def test_a_window_that_never_opens_is_refused(window: Window) -> None:
    """Caught when the configuration is read, not on pay day."""
    with pytest.raises(Refused) as caught:
        check_window(window)
    assert caught.value.code is Code.RANGE


@given(
    st.dates(dt.date(2014, 6, 1), dt.date(2026, 11, 1)),
    st.datetimes(dt.datetime(2014, 6, 1), dt.datetime(2026, 11, 1)),
    st.booleans(),
)
def test_a_slot_is_never_over_never_on_a_day_off_and_never_early(
    pay_date: dt.date, now: dt.datetime, early: bool
) -> None:
    """What holds for every pay date and every moment."""
    moment, own = now.replace(tzinfo=CHINA_TIME), bank()
    slot = next_slot(own, pay_date, moment, early=early)
    assert slot.opens < slot.cut_off
    assert slot.cut_off > moment
    assert takes_documents(slot.opens.date(), own)
    assert slot in list(islice(windows(own, slot.opens), 1))
    if early:
        assert slot.opens.date() >= last_working(pay_date)
    else:
        assert slot.opens.date() >= pay_date
    # and there is none between that would have done
    for other in windows(own, moment):
        if other == slot:
            break
        assert other.opens.date() < pay_date
