"""Random rules of the kinds that people write, the same in every run."""

from __future__ import annotations

import random

from anycore.access.model import Effect, Rule, RuleSet
from anycore.kernel.call import Identity, Peer

METHOD = "room.celsius"
CALLER = Identity(
    "bob", "certificate", frozenset({"g1", "g2"}), "/DC=org/OU=o3/CN=bob", ("cn:bob", "dns:bob.example.org")
)
PEER = Peer.of_address(("10.3.4.5", 40000))


def random_rules(count: int) -> RuleSet:
    """Return rules about 500 plugins for users, groups, networks and distinguished names; the last one lets the caller call the method.

    Args:
        count: How many.
    """
    chance = random.Random(count)
    rules = []
    for number in range(count - 1):
        plugin = number % 500
        pattern = chance.choice(
            [f"p{plugin}.*", f"p{plugin}.m{number % 20}", f"p{plugin}", f"*.m{number % 300}_*", "room.reset"]
        )
        to = chance.choice(
            [
                f"user:u{number}",
                f"group:g{number % 100 + 10}",
                f"net:10.{number % 256}.{number // 256}.0/24",
                f"dn:/DC=org/OU=o{number % 50 + 10}",
            ]
        )
        effect = chance.choice([Effect.ALLOW, Effect.DENY])
        rules.append(Rule(effect=effect, patterns=(pattern,), to=(to,), text=f"rule {number}"))
    rules.append(Rule(effect=Effect.ALLOW, patterns=("room",), to=("user:bob",), text="the last rule"))
    return RuleSet(name="benchmark", sections=(tuple(rules),))
