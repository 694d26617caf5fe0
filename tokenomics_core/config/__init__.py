"""The one place that knows names, defaults and precedence of the configuration."""

from tokenomics_core.config.base_url import BaseUrl, InvalidBaseUrl, parse_base_url
from tokenomics_core.config.data_dir import prepare_data_dir
from tokenomics_core.config.dotenv import load_dotenv_files
from tokenomics_core.config.errors import ConfigError
from tokenomics_core.config.schema import Config, Logging, Webhook
from tokenomics_core.config.sources import load_config

__all__ = [
    "BaseUrl",
    "Config",
    "ConfigError",
    "InvalidBaseUrl",
    "Logging",
    "Webhook",
    "load_config",
    "load_dotenv_files",
    "parse_base_url",
    "prepare_data_dir",
]
