"""From text to a valid policy, and back."""

from __future__ import annotations

from tokenomics_core.policy.document import decode, encode
from tokenomics_core.policy.schema import Policy, plain, read
from tokenomics_core.policy.validation import validate


def parse(text: str) -> Policy:
    """The policy in the text; raises PolicyError when it is no policy or makes no sense.

    Unknown fields are ignored: `warnings` tells of them.
    """
    policy = read(decode(text))
    validate(policy)
    return policy


def serialise(policy: Policy) -> str:
    """The policy as compact JSON that parses to an equal policy.

    Fields with their default are left out, except a rule's type, action and scope, and memory. Legacy
    string rules come out as objects. Unknown fields of the text it was parsed from are gone.
    """
    return encode(plain(policy))
