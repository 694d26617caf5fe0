"""National numbers of persons, for rules that do not care of which country."""

from __future__ import annotations

from tokenomics_core.guard.detector import Detector

DETECTORS = (Detector(name="national_id", label="National ID", kind="personal", shapes=()),)
