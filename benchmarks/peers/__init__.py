"""The peers that the service is compared with."""

from benchmarks.peers.direct import DIRECT
from benchmarks.peers.litellm import LITELLM
from benchmarks.peers.nginx import NGINX
from benchmarks.peers.peer import Peer, Server
from benchmarks.peers.recipe import RECIPE
from benchmarks.peers.service import SERVICE, SERVICE_V1

PEERS = {peer.name: peer for peer in (DIRECT, NGINX, SERVICE, SERVICE_V1, RECIPE, LITELLM)}

__all__ = ["PEERS", "Peer", "Server"]
