"""Payment cards. Brands by prefix and length, numbers by Luhn."""

from __future__ import annotations

from tokenomics_core.guard.detector import Detector, Shape
from tokenomics_core.guard.detectors._checks import digits, luhn


def _brand(number: str) -> bool:
    """Whether a card of a known brand has this prefix and length. number: digits."""
    two, three, four, size = int(number[:2]), int(number[:3]), int(number[:4]), len(number)
    if number[0] == "4":
        return size in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return size == 16
    if two in (34, 37):
        return size == 15
    if 300 <= three <= 305 or two in (36, 38, 39):
        return 14 <= size <= 19
    if 3528 <= four <= 3589 or four == 6011 or 644 <= three <= 659 or two in (62, 81):
        return 16 <= size <= 19
    return (two in (50, 67) or 56 <= two <= 58 or three in (600, 630) or four == 6304) and 12 <= size <= 19


def _card(value: str) -> bool:
    if len(value) > 32:
        return False
    number = digits(value)
    return _brand(number) and luhn(number)


DETECTORS = (
    Detector(
        name="credit_card",
        label="Credit Card Number",
        kind="financial",
        shapes=(
            Shape(
                r"\b(?:4\d{3}|5[1-5]\d{2}|3[47]\d{2}|6(?:011|5\d{2}))\d{4,}\d{4,}\b",
                check=_card,
                valid=0.9,
                invalid=0.3,
                reference=True,
            ),
            # Written in groups, the prefixes of the original count with a wrong check digit as well.
            Shape(
                r"\b(?:4\d{3}|5[1-5]\d{2}|6(?:011|5\d{2}))-\d{4}-\d{4}-\d{4}\b",
                check=luhn,
                valid=0.95,
                invalid=0.55,
            ),
            Shape(
                r"\b(?:4\d{3}|5[1-5]\d{2}|6(?:011|5\d{2})) \d{4} \d{4} \d{4}\b",
                check=luhn,
                valid=0.95,
                invalid=0.45,
            ),
            Shape(r"\b3[47]\d{2}[ -]\d{6}[ -]\d{5}\b", check=luhn, valid=0.95, invalid=0.5),
            Shape(
                r"\b[2-68]\d{3}[ .-]\d{4}[ .-]\d{4}[ .-]\d{1,4}(?:[ .-]\d{1,3})?\b",
                check=_card,
                valid=0.9,
            ),
            Shape(r"\b3[0-9]\d{2}[ .-]\d{6}[ .-]\d{4,5}\b", check=_card, valid=0.9),
            # Brands the original does not know, in one run of digits.
            Shape(
                r"\b(?:2[2-7]\d{14}|3(?:0[0-5]|[689]\d)\d{11}|35\d{14}|6(?:2\d|4[4-9])\d{13})\b",
                check=_card,
                valid=0.7,
            ),
            Shape(r"\b(?:50|5[6-8]|6[0-9]|35|81)\d{10,17}\b", check=_card, valid=0.3),
        ),
        near=(
            "card",
            "cards",
            "card number",
            "credit",
            "debit",
            "visa",
            "mastercard",
            "amex",
            "american express",
            "maestro",
            "unionpay",
            "discover",
            "diners",
            "jcb",
            "cc",
            "creditcard",
            "cardnumber",
            "kreditkarte",
            "kartennummer",
            "carte",
            "carte bancaire",
            "tarjeta",
        ),
        unlike=(
            "id",
            "ids",
            "order",
            "tracking",
            "invoice",
            "serial",
            "uuid",
            "timestamp",
            "imei",
            "session",
            "bestellnummer",
            "rechnungsnummer",
            "commande",
            "pedido",
        ),
        found=(
            "pay with «4111111111111111» now",
            "«4532-1234-5678-9012»",
            "card: «4111 1111 1111 1111», 12/29",
            "Amex «3782 822463 10005»",
            "«378282246310005»",
            "Diners «30569309025904»",
            "JCB «3530111333300000»",
            "«2221000000000009»",
            "«6212 3456 7890 1232»",
            "«6449-9999-9999-9997»",
            "Maestro card «6759649826438453»",
        ),
        clean=(
            "2221000000000001",
            "the order 6759649826438453 was shipped",
            "1700000000000 and 1700000000000000",
            "id 3530111333300000",
            "2048 4096 8192 16384",
            "41111111111 is too short",
        ),
    ),
)
