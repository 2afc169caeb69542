"""Starts a server of object storage with one bucket, prints its port, and ends when its input does.

    python servers.py moto
    python servers.py azurite-container PORT KEY     (makes a container in a running Azurite)
"""

import sys


def moto():
    import urllib.request

    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}/bucket"
    urllib.request.urlopen(urllib.request.Request(url, method="PUT")).read()
    print(port, flush=True)
    sys.stdin.read()
    server.stop()


def azurite_container(port, key):
    from azure.storage.blob import BlobServiceClient

    account = "devstoreaccount1"
    url = f"http://127.0.0.1:{port}/{account}"
    BlobServiceClient(url, credential={"account_name": account, "account_key": key}).create_container(
        "bucket"
    )


if sys.argv[1] == "moto":
    moto()
else:
    azurite_container(sys.argv[2], sys.argv[3])
