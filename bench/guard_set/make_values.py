"""Draws the names, companies, streets and domains of the set with Faker, once, and writes values.json.

    pip install faker && python bench/guard_set/make_values.py

The set itself is built from that file, so that it is the same with any Faker and with none.
"""

from __future__ import annotations

import json
from pathlib import Path

LOCALES = ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES")
SEED = 20_251


def _several(draw, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[draw()] = None
    return list(found)


def main() -> None:
    import faker

    values: dict[str, object] = {"made with": f"Faker {faker.VERSION}, seed {SEED}"}
    for locale in LOCALES:
        fake = faker.Faker(locale)
        fake.seed_instance(SEED)
        values[locale] = {
            "first": _several(fake.first_name, 40),
            "last": _several(fake.last_name, 60),
            "company": _several(fake.company, 24),
            "street": _several(lambda fake=fake: fake.street_address().replace("\n", ", "), 24),
            "city": _several(fake.city, 24),
            "domain": _several(fake.domain_name, 30),
            "job": _several(fake.job, 20),
            "sentence": _several(lambda fake=fake: fake.sentence(nb_words=10), 40),
        }
    path = Path(__file__).parent / "values.json"
    path.write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
