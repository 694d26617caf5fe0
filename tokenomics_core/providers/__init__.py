"""Who the providers are and where their requests go."""

from tokenomics_core.providers.catalogue import Catalogue, load_catalogue
from tokenomics_core.providers.provider import Provider
from tokenomics_core.providers.target import PathError, Target, TargetError, target

__all__ = ["Catalogue", "PathError", "Provider", "Target", "TargetError", "load_catalogue", "target"]
