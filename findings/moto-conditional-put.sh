#!/usr/bin/env bash
# The package moto, version 5.2.5, its S3 server: `PutObject` with the header `If-None-Match: *`.
#
# Input: eight clients put an object of the same name at the same time, each with a body of 20 MB of its
# own. The header asks that the object be created only where there is none (Amazon S3 API, PutObject).
#
# Expected: one client is told that it has created the object (status 200), the others that there is one
# (412) or that another request is in conflict with theirs (409).
# Seen: in some of ten rounds two clients or more are told 200, and the object of one of them is gone.
# The server first looks whether there is an object, then stores the body, and requests run in threads.
#
# Who tests several writers of one table against it (Delta Lake, Iceberg) sees commits vanish now and
# then, the more the busier the machine is.
#
# Succeeds as long as that is so, and fails once it changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'moto[s3,server]==5.2.5'
venv/bin/python - <<'PYTHON'
import re, socket, subprocess, sys, time, urllib.request

ROUNDS, CLIENTS, SIZE = 10, 8, 20_000_000
said = open("said", "w")
server = subprocess.Popen(
    [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
    stdout=said, stderr=said,
)
try:
    for _ in range(600):
        found = re.search(r"Running on http://127\.0\.0\.1:(\d+)", open("said").read())
        if found:
            break
        time.sleep(0.1)
    port = int(found[1])

    sign = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request"
    sign += ", SignedHeaders=host, Signature=x"

    def begin(path, body):
        """Sends a request but for its last byte."""
        to = socket.create_connection(("127.0.0.1", port), timeout=60)
        head = [
            f"PUT {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close",
            f"Authorization: {sign}", "If-None-Match: *", f"Content-Length: {len(body)}",
        ]
        to.sendall("\r\n".join([*head, "", ""]).encode() + body[:-1])
        return to

    def status(to):
        answer = b""
        while part := to.recv(65536):
            answer += part
        return int(answer.split()[1])

    url = f"http://127.0.0.1:{port}/bucket"
    bucket = urllib.request.Request(url, method="PUT", headers={"Authorization": sign})
    urllib.request.urlopen(bucket).read()

    shared = 0
    for n in range(ROUNDS):
        bodies = [b"%d" % client * SIZE for client in range(CLIENTS)]
        clients = [begin(f"/bucket/{n}", body) for body in bodies]
        time.sleep(0.1)
        for to, body in zip(clients, bodies):
            to.send(body[-1:])
        codes = [status(to) for to in clients]
        shared += codes.count(200) > 1
    print(f"{shared} of {ROUNDS} objects were created by more than one client")
    sys.exit(shared == 0)
finally:
    server.kill()
PYTHON
