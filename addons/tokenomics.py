"""The pipeline: `mitmdump -s addons/tokenomics.py` loads it, and `tokenomics-cli serve` builds the same.

The list in `pipeline` is the order in which every request passes; nothing else decides it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from addons.admission import Admission
from addons.budget import Budget
from addons.certificates import CertificateWatch
from addons.credentials import Credentials
from addons.dashboard import Dashboard
from addons.figures import Figures
from addons.frames import Frames
from addons.guardrails import Guardrails
from addons.identity import Identity
from addons.lifecycle import Lifecycle
from addons.metering import Metering
from addons.records import Records
from addons.routing import Routing
from addons.services import Services, start_services
from addons.session import Session

ENFORCED = frozenset({"rules", "max_tokens", "rate_limit", "budgets", "session", "memory"})
"""What the steps below enforce of a policy, beyond routing. A policy that asks for more is refused."""


def pipeline(services: Services) -> list[Any]:
    identity = Identity(services, ENFORCED)
    guardrails = Guardrails(services)
    budget = Budget(services)
    session = Session(services)
    return [
        Lifecycle(services, session),
        CertificateWatch(services),
        Admission(services),
        Dashboard(services),
        Figures(services),
        identity,
        session,
        Routing(services),
        guardrails,
        budget,
        Credentials(services),
        Metering(services),
        Frames(services, identity, session, guardrails, budget),
        Records(services),
    ]


def _for_mitmdump() -> list[Any]:
    from tokenomics_core.config import Config, load_config, load_dotenv_files

    cwd, home = Path.cwd(), Path.home()
    environ = load_dotenv_files(os.environ, cwd, home)

    def read() -> Config:
        return load_config(path=None, dir=None, db=None, environ=environ, cwd=cwd, home=home)

    return pipeline(start_services(read(), environ, cwd, home, read))


if __name__.startswith("__mitmproxy_script__"):
    addons = _for_mitmdump()
