"""The decisions of Tokenomics: plain data in, plain data out, no proxy engine and no screen."""

__version__ = "0.1.0"
