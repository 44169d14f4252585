"""Numbers and amounts of money as people write them: `1.299,00 €`, `$9.90`, `1'299.-`, `12 EUR`, `300 g`, `20%`.

Which of `.` and `,` is the decimal mark can often be told from one number (`19,90`), but not from `1.299`, which is a
little over one or more than a thousand. So a number is read in two steps: `read_number` returns its parts, and
`WrittenNumber.value` takes the mark that the column as a whole suggests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

__all__ = ["CURRENCIES", "WrittenNumber", "read_number"]

CURRENCIES = frozenset(
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
    "CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG "
    "HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA "
    "MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD "
    "RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX "
    "USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG".split()
)
"""The currency codes of ISO 4217 that are in circulation."""

_SYMBOLS = {
    "€": "EUR",
    "£": "GBP",
    "₹": "INR",
    "₽": "RUB",
    "₩": "KRW",
    "₺": "TRY",
    "₴": "UAH",
    "₫": "VND",
    "₪": "ILS",
    "฿": "THB",
    "₱": "PHP",
    "₦": "NGN",
    "R$": "BRL",
    "US$": "USD",
    "AU$": "AUD",
    "A$": "AUD",
    "CA$": "CAD",
    "C$": "CAD",
    "NZ$": "NZD",
    "HK$": "HKD",
    "S$": "SGD",
    "NT$": "TWD",
    "MX$": "MXN",
    "EURO": "EUR",
    "EUROS": "EUR",
    "ZŁ": "PLN",
    "KČ": "CZK",
    "FT": "HUF",
    "LEI": "RON",
    "ЛВ": "BGN",
    "ЛВ.": "BGN",
    "РУБ": "RUB",
    "РУБ.": "RUB",
    "ГРН": "UAH",
    "円": "JPY",
    "元": "CNY",
    "원": "KRW",
    "RS.": "INR",
    "FR.": "CHF",
    "SFR.": "CHF",
    "RM": "MYR",
    # These stand for the currencies of several countries, so they are kept as they are written.
    "$": "$",
    "¥": "¥",
    "￥": "¥",
    "KR": "kr",
    "KR.": "kr",
}
"""What stands for a currency, in capitals, and the code to store for it."""

_UNITS = frozenset(
    "% ‰ mg g kg t oz lb lbs ml cl dl l ltr µm mm cm dm m km in inch inches ft yd mi m² m2 m³ m3 cm² cm³ w kw kwh wh v "
    "mv kv a ma ah mah hz khz mhz ghz kb mb gb tb px dpi mp s sec min h hr hrs d days °c °f k db lm lx cd bar psi pcs "
    'pc stk stück st pairs " °'.split()
)

_SPACES = "\u00a0\u202f\u2009 "
_NUMBER = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[-+−–])?\s*(?P<before>[^\d\s.,()+−–-][^\d()]{{0,6}}?)?\s*(?P<sign2>[-+−–])?\s*"
    rf"(?P<digits>\d[\d.,'’{_SPACES}]*?|[.,]\d+)(?P<dash>[.,:](?:-{{1,2}}|[–—]))?(?P<exponent>[eE][-+]?\d{{1,3}})?\s*"
    rf"(?P<after>[^\d\s.,()+−–-][^\d()]{{0,6}})?\s*(?P<close>\))?"
)
_LONGEST = 40


@dataclass(frozen=True, slots=True)
class WrittenNumber:
    """The parts of a number. `mark` is its decimal mark: "." or ",", "" if it has none, or "?" if it cannot be told.

    `currency` is a code of ISO 4217, or a symbol that several currencies share. `unit` is as it is written.
    """

    digits: str
    mark: str
    currency: str | None = None
    unit: str | None = None

    @property
    def doubtful(self) -> str:
        """The character that may be the decimal mark or may group digits, or "" if there is no doubt."""
        return next(character for character in self.digits if character in ".,") if self.mark == "?" else ""

    def value(self, decimal_mark: str) -> Decimal:
        """Return the number; `decimal_mark`, "." or ",", decides only if it cannot be told from the number itself."""
        mark = self.mark if self.mark != "?" else decimal_mark
        other = {".": ",", ",": ".", "": ".,"}[mark]
        plain = self.digits.translate({ord(character): None for character in other})
        return Decimal(plain.replace(",", "."))


@lru_cache(maxsize=50_000)
def read_number(text: str) -> WrittenNumber | None:
    """Read a number with its currency or unit, or return None if the text is not such a number.

    Digits are grouped by `.`, `,`, blanks or apostrophes, in groups of three (or as in India, of two above the last
    three). Codes are not numbers: `00123`, `1E2` and `1_000`. A negative amount may be in brackets.

        >>> number = read_number("1.299,00 €")
        >>> number.value("."), number.currency
        (Decimal('1299.00'), 'EUR')
        >>> [str(read_number("1.299").value(mark)) for mark in ".,"]
        ['1.299', '1299']
        >>> read_number("00123") is None
        True
    """
    if len(text) > _LONGEST:
        return None
    match = _NUMBER.fullmatch(text)
    if match is None or bool(match["open"]) != bool(match["close"]) or (match["sign"] and match["sign2"]):
        return None
    currency, unit = _meanings(match["before"], match["after"])
    if currency is None and unit is None and (match["before"] or match["after"]):
        return None
    found = _digits(match["digits"])
    if found is None:
        return None
    digits, mark = found
    if match["exponent"]:
        if currency or unit or match["dash"] or ("." not in digits and match["exponent"][1] not in "+-"):
            return None  # 1E2 is an article number
        digits, mark = f"{digits}{match['exponent']}", "."
    negative = "-" if match["open"] or (match["sign"] or match["sign2"] or "+") != "+" else ""
    return WrittenNumber(f"{negative}{digits}", mark, currency, unit)


def _meanings(before: str | None, after: str | None) -> tuple[str | None, str | None]:
    """Return the currency and the unit of what stands before and after a number; None for both if it is neither."""
    if before and after:
        first, second = _currency(before), _currency(after)
        return (first, None) if first is not None and first == second else (None, None)
    if before:
        return _currency(before), None
    if after:
        currency = _currency(after)
        unit = after.strip()
        return currency, unit if currency is None and unit.lower() in _UNITS else None
    return None, None


def _currency(text: str) -> str | None:
    name = text.strip().upper()
    return name if name in CURRENCIES else _SYMBOLS.get(name)


def _digits(text: str) -> tuple[str, str] | None:
    """Return the digits with the marks that matter, and the decimal mark; None if they are grouped otherwise."""
    text = text.rstrip(_SPACES)
    for grouping in (*_SPACES, "'", "’"):
        if grouping in text:
            whole, *rest = re.split(r"[.,]", text)
            if len(rest) > 1 or not _is_grouped(whole.split(grouping)) or any(grouping in part for part in rest):
                return None
            mark = next((character for character in text if character in ".,"), "")
            return text.replace(grouping, ""), mark
    dots, commas = text.count("."), text.count(",")
    if not dots and not commas:
        return None if len(text) > 1 and text[0] == "0" else (text, "")
    if dots and commas:
        mark = max(".,", key=text.rfind)
        group = "," if mark == "." else "."
        whole, _, fraction = text.rpartition(mark)
        if text.count(mark) > 1 or not fraction or not _is_grouped(whole.split(group)):
            return None
        return text, mark
    mark = "." if dots else ","
    groups = text.split(mark)
    if len(groups) > 2:
        return (text, "," if mark == "." else ".") if _is_grouped(groups) else None
    whole, fraction = groups
    if not fraction or (len(whole) > 1 and whole[0] == "0"):
        return None
    return text, "?" if _is_grouped(groups) else mark


def _is_grouped(groups: list[str]) -> bool:
    first, *rest = groups
    if not first or first[0] == "0" or not rest or len(rest[-1]) != 3 or not all(map(str.isdigit, groups)):
        return False
    sizes = {len(group) for group in rest[:-1]}
    return (len(first) <= 3 and sizes <= {3}) or (len(first) <= 2 and sizes == {2})
