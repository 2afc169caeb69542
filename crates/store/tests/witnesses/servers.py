"""Starts a server of object storage with one bucket, prints its port, and ends when its input does.

    python servers.py moto
    python servers.py azurite-container PORT KEY     (makes a container in a running Azurite)
"""

import sys


def moto():
    import logging
    import threading
    import urllib.request

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    # A line for each request hides what a failed test says.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    answer = DomainDispatcherApplication(create_backend_app)
    turn = threading.Lock()

    def one_at_a_time(environ, start_response):
        # moto looks whether an object is there and makes it then, so that two threads may both be the
        # first to create it (findings/moto-conditional-put.sh).
        with turn:
            return answer(environ, start_response)

    server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_port
    url = f"http://127.0.0.1:{port}/bucket"
    urllib.request.urlopen(urllib.request.Request(url, method="PUT")).read()
    print(port, flush=True)
    sys.stdin.read()
    server.shutdown()


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
