"""The Chinese working calendar, and when a Bank takes Documents.

A weekday is worked unless the State Council's notice makes it a holiday; a weekend day is not worked unless the notice
makes it one to make up (调休). Years without a notice are unknown: everything fails closed there, because guessing
would send on a holiday or miss a day. A Bank's own extra days win over the notice.

China has had one fixed offset since 1992 (tzdata, Asia/Shanghai), so the zone is a constant and this stays pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple

from gateway.core.bank import Bank, Window
from gateway.core.calendar_data import YEARS
from gateway.core.errors import Code, Refused

CHINA_TIME = timezone(timedelta(hours=8), "Asia/Shanghai")
#: From this day on (month, day) the next year's notice is missed aloud.
WARN_FROM = (11, 1)
_DAY = timedelta(days=1)
_MONTH_DAY = re.compile(r"[0-9]{4}", re.ASCII)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00", re.ASCII)


class Year(NamedTuple):
    """One year's notice."""

    off: frozenset[date]  # weekdays that are holidays
    worked: frozenset[date]  # weekend days that are worked


Calendar = Mapping[int, Year]
"""Year → its notice; a year that is not there is unknown."""


class Slot(NamedTuple):
    """One span in which a Bank takes Documents: ``opens`` ≤ now < ``cut_off``, both aware, Asia/Shanghai."""

    opens: datetime
    cut_off: datetime

    def holds(self, now: datetime) -> bool:
        """Whether sending may go on at ``now`` (aware, any zone)."""
        return self.opens <= now < self.cut_off


def read_calendar(notices: Mapping[int, tuple[str, str]]) -> Calendar:
    """Notices as in ``calendar_data`` (``{2027: ("0101 …", "0109 …")}``) → Calendar; the configuration's come here too.

    Raises Refused RANGE for a day that does not exist, a holiday on a weekend, or a make-up day on a weekday.
    """
    return {year: _read_year(year, off, worked) for year, (off, worked) in notices.items()}


def _day(year: int, word: str) -> date:
    try:
        if not _MONTH_DAY.fullmatch(word):
            raise ValueError(word)
        return date(year, int(word[:2]), int(word[2:]))
    except ValueError:
        raise Refused(f"{word[:20]!r} is no day of {year}", code=Code.RANGE, where=f"calendar {year}") from None


def _read_year(year: int, off: str, worked: str) -> Year:
    def days(text: str, *, weekend: bool) -> frozenset[date]:
        found = set()
        for word in text.split():
            day = _day(year, word)
            if (day.weekday() >= 5) is not weekend:
                which = "a make-up day must be a weekend day" if weekend else "a holiday must be a weekday"
                raise Refused(f"{day}: {which}", code=Code.RANGE, where=f"calendar {year}")
            found.add(day)
        return frozenset(found)

    return Year(days(off, weekend=False), days(worked, weekend=True))


CHINA = read_calendar(YEARS)


def is_working(day: date, bank: Bank | None = None, calendar: Calendar = CHINA) -> bool:
    """Whether ``day`` is worked at ``bank`` (None: by the notice alone).

    Raises Refused POLICY for a year without a notice.
    """
    if bank is not None:
        if day in bank.calendar_extra_closed:
            return False
        if day in bank.calendar_extra_working:
            return True
    notice = calendar.get(day.year)
    if notice is None:
        raise Refused(
            f"nobody knows the working days of {day.year} yet: publish the calendar for {day.year}",
            code=Code.POLICY,
            where="calendar",
        )
    return day in notice.worked if day.weekday() >= 5 else day not in notice.off


def next_working(day: date, bank: Bank | None = None, calendar: Calendar = CHINA) -> date:
    """The first working day on or after ``day``. Raises Refused POLICY as ``is_working``."""
    while not is_working(day, bank, calendar):
        day += _DAY
    return day


def last_working(day: date, bank: Bank | None = None, calendar: Calendar = CHINA) -> date:
    """The last working day on or before ``day``. Raises Refused POLICY as ``is_working``."""
    while not is_working(day, bank, calendar):
        day -= _DAY
    return day


def calendar_warning(today: date, calendar: Calendar = CHINA) -> str:
    """``""``, or the sentence for operations: this year's notice is missing, or from 1 November the next one's."""
    for year in (today.year, today.year + 1):
        if year not in calendar and (year == today.year or (today.month, today.day) >= WARN_FROM):
            return f"no calendar for {year}: publish the calendar for {year}, or nothing is sent from its first day on"
    return ""


# ------------------------------------------------------------------------------------------------- windows


def _minutes(clock: str, *, field: str) -> int:
    found = _CLOCK.fullmatch(clock)
    if not found:
        raise Refused(
            f"not a wall-clock time from 00:00 to 24:00: {clock[:10]!r}", code=Code.RANGE, where=f"window.{field}"
        )
    return int(clock[:2]) * 60 + int(clock[3:])


def check_window(window: Window) -> tuple[int, int]:
    """Minutes after midnight at which it opens and cuts off; ``24:00`` is the end of the day.

    Raises Refused RANGE for anything but ``HH:MM``, or if it never opens.
    """
    opens, cut_off = _minutes(window.opens, field="opens"), _minutes(window.cut_off, field="cut_off")
    if opens >= cut_off:
        raise Refused(
            f"opens at {window.opens}, cuts off at {window.cut_off}: never open", code=Code.RANGE, where="window"
        )
    return opens, cut_off


def takes_documents(day: date, bank: Bank, calendar: Calendar = CHINA) -> bool:
    """Whether the Bank has a window on ``day``. One that is open every day needs no notice."""
    if bank.window.every_day:
        return day not in bank.calendar_extra_closed
    return is_working(day, bank, calendar)


def _china(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone: UTC inside")
    return moment.astimezone(CHINA_TIME)


def _slots_from(bank: Bank, day: date, after: datetime, calendar: Calendar) -> Iterator[Slot]:
    opens, cut_off = check_window(bank.window)
    while True:
        midnight = datetime(day.year, day.month, day.day, tzinfo=CHINA_TIME)
        slot = Slot(midnight + timedelta(minutes=opens), midnight + timedelta(minutes=cut_off))
        if slot.cut_off > after and takes_documents(day, bank, calendar):
            yield slot
        day += _DAY


def windows(bank: Bank, after: datetime, calendar: Calendar = CHINA) -> Iterator[Slot]:
    """The Bank's slots that are not over at ``after`` (aware), in order and without end; the first may be open already.

    Raises Refused POLICY where a year without a notice is reached.
    """
    moment = _china(after)
    return _slots_from(bank, moment.date(), moment, calendar)


def next_slot(bank: Bank, pay_date: date, now: datetime, *, early: bool = False, calendar: Calendar = CHINA) -> Slot:
    """The first slot in which a payment with this requested pay date may be sent, as seen at ``now`` (aware).

    The pay date is the earliest day. If the Bank has no window on it, the next window is taken; ``early`` (only by a
    release that says so) takes the last day before it that has one and is not over. A window that was missed is caught
    up in the next one: the slot's cut-off is always after ``now``, and it may be open already.

    Raises Refused POLICY for a year without a notice, RANGE for a window that never opens or a date that nobody means.
    """
    if pay_date.year >= 9999:  # the day after it would be no date
        raise Refused(f"nobody pays on {pay_date}", code=Code.RANGE, where="pay_date")
    moment = _china(now)
    day = max(pay_date, moment.date())
    while early and day > moment.date() and not takes_documents(day, bank, calendar):
        day -= _DAY
    return next(_slots_from(bank, day, moment, calendar))


def is_open(bank: Bank, now: datetime, calendar: Calendar = CHINA) -> bool:
    """Whether the Bank takes Documents at ``now`` (aware). Raises Refused POLICY: a year without a notice is closed."""
    moment = _china(now)
    opens, cut_off = check_window(bank.window)
    return opens <= moment.hour * 60 + moment.minute < cut_off and takes_documents(moment.date(), bank, calendar)
