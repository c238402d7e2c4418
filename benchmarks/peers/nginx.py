"""nginx as a reverse proxy that does not buffer."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.load import Address
from benchmarks.machine import raise_descriptor_limit
from benchmarks.peers.peer import Peer, Server, completion_request
from benchmarks.process import StartError, environment, free_port, running, until_it_listens
from benchmarks.stage import Stage

_CONFIGURATION = """
daemon off;
worker_processes 1;
worker_rlimit_nofile {descriptors};
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    upstream backend {{
        server {backend};
        keepalive 256;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 300s;
        }}
    }}
}}
"""


@asynccontextmanager
async def _start(stage: Stage) -> AsyncIterator[Server]:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")  # the folder that Debian uses
    if program is None:
        raise StartError("nginx is not installed; `make bench` says how")
    address = Address(free_port())
    descriptors = raise_descriptor_limit()
    configuration = stage.folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            folder=stage.folder,
            backend=f"{stage.backend.host}:{stage.backend.port}",
            port=address.port,
            descriptors=descriptors,
            connections=descriptors - 100,
        )
    )
    async with running(
        [program, "-p", str(stage.folder), "-c", str(configuration)],
        cores=stage.cores.server,
        env=environment(),
        folder=stage.folder,
        log="nginx.log",
    ) as process:
        await until_it_listens(process, address.port, stage.folder / "nginx.log")
        yield Server(address, completion_request, process.pid)


NGINX = Peer("nginx", "nginx", _start)
