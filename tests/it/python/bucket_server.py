"""Serves a bucket named "lake" on this machine until standard input ends.

    bucket_server.py moto|seaweedfs

Prints its address when it is ready. Whoever started it need not stop it: the system closes the pipe
when that process ends, in whatever way, and everything here goes with it.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import boto3

KEY, SECRET = "test", "test-secret"


def free_ports(number: int) -> list[int]:
    """Ports that are free now; all are held until the last is known, so that none comes twice."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def serve(endpoint: str) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )
    client.create_bucket(Bucket="lake")
    print(endpoint, flush=True)
    sys.stdin.read()


def moto() -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    serve(f"http://127.0.0.1:{port}")


def seaweedfs() -> None:
    names = [
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "s3.port",
        "s3.port.grpc",
    ]
    ports = dict(zip(names, free_ports(len(names))))
    identity = {
        "name": "test",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin"],
    }
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder)
        (home / "s3.json").write_text(json.dumps({"identities": [identity]}))
        options = {
            "dir": folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": "1024",
            "volume.max": "20",
            "volume.minFreeSpace": "1",
            "filer": "true",
            "filer.localSocket": home / "filer.sock",
            "s3": "true",
            "s3.config": home / "s3.json",
            "s3.localSocket": home / "s3.sock",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            **ports,
        }
        arguments = [f"-{name}={value}" for name, value in options.items()]
        weed = pathlib.Path(sys.executable).with_name("weed")
        with open(home / "log", "wb") as log:
            server = subprocess.Popen([weed, "server", *arguments], stdout=log, stderr=log)
        try:
            endpoint = f"http://127.0.0.1:{ports['s3.port']}"
            wait_for(endpoint, server, home / "log")
            serve(endpoint)
        finally:
            server.kill()
            server.wait()
            # Of these it lets nobody choose the place.
            for name, port in ports.items():
                kind = name.split(".")[0]
                pathlib.Path(f"/tmp/seaweedfs-{kind}-grpc-{port}.sock").unlink(missing_ok=True)


def wait_for(endpoint: str, server: subprocess.Popen, log: pathlib.Path) -> None:
    end = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{endpoint}/status", timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"weed did not start:\n{log.read_text()[-2000:]}")


# No variable of whoever runs the tests is to reach the clients here.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
{"moto": moto, "seaweedfs": seaweedfs}[sys.argv[1]]()
