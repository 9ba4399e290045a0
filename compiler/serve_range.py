"""What a Range header asks for, as RFC 9110 (14.2, 13.1.5) says it."""

from __future__ import annotations

import math
import os
import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

SPECIFIER = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.IGNORECASE)
# More digits than any file has; Python refuses to read some thousand.
MOST_DIGITS = 18

# A range that no file has, in the words of a header.
UNSATISFIABLE = f"bytes={10**MOST_DIGITS}-"


def wanted_range(header: str | None) -> str | None:
    """The header in its plainest form; None where the whole file is to be sent, since there is none, it asks in another unit or for several
    ranges, or it is no range at all."""
    found = SPECIFIER.fullmatch(header.strip()) if header is not None else None
    if not found or not (found[1] or found[2]):
        return None
    first, last = (_number(digits) if digits else None for digits in found.groups())
    if first is None:
        # The last 0 bytes are none.
        return f"bytes=-{last}" if last else UNSATISFIABLE
    if last is not None and last < first:
        return None
    return f"bytes={first}-{'' if last is None else last}"


def is_same_file(condition: str, tag: str, status: os.stat_result) -> bool:
    """Whether an If-Range header is the file's tag, or the very time that its Last-Modified states. All else, a weak tag too, is another
    file's."""
    if condition == tag:
        return True
    try:
        date = parsedate_to_datetime(condition)
    except (ValueError, TypeError):
        return False
    date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
    return date == datetime.fromtimestamp(math.ceil(status.st_mtime), timezone.utc)


def _number(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= MOST_DIGITS else 10**MOST_DIGITS
