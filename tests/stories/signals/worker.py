"""Reports to the test over a connection when it is up, when it is asked to end, and when it has finished its work."""

import os
import signal
import socket
import struct
import sys
import time


def gateway():
    for line in open("/proc/net/route").read().splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000":
            return socket.inet_ntoa(struct.pack("<I", int(fields[2], 16)))


def tell(word):
    connection.sendall(f"{word}\n".encode())
    # The output must arrive as well, also through a pipe.
    print(word, flush=True)


def finish(name):
    tell(f"asked {name}")
    time.sleep(float(os.environ["FINISH"]))
    tell("finished")
    sys.exit(0)


def asked(number, _):
    for each in (signal.SIGTERM, signal.SIGQUIT):
        signal.signal(each, signal.SIG_IGN)
    finish(signal.Signals(number).name)


host, port = os.environ["REPORT"].rsplit(":", 1)
connection = socket.create_connection((host or gateway(), int(port)), timeout=60)
signal.signal(signal.SIGTERM, asked)
signal.signal(signal.SIGQUIT, asked)
try:
    tell(f"up {os.environ['NAME']} {os.environ.get('ROUND', '')}")
    while True:
        time.sleep(0.05)
except KeyboardInterrupt:
    finish("SIGINT")
