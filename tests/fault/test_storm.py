"""A kill, and everybody comes back at once, each with his position: thousands
of polls through nginx's workers wait in the backlogs of sockets that outlive
the daemon, and all are answered.

HOLDFAST_STORM sets how many (400; 8000 is what the descriptors of one process
allow here)."""

import os
import pathlib
import resource
import signal
import subprocess
import time
import types

import pytest

import front_nginx
import held
import world

import front    # its folder is known from world on
import wire

CLIENTS = int(os.environ.get("HOLDFAST_STORM", "400"))
CHANNELS = max(1, CLIENTS // 4)
SOCKETS, WORKERS = 3, 2
LOAD = world.BUILD / "tests/bench/load"
RESPONDER = world.BUILD / "tests/bench/responder"
MARK = "@" * 32     # where load writes a channel's name


class Load:
    """The benchmarks' client with thousands of polls; told by lines."""

    def __init__(self, folder, port, request):
        file = pathlib.Path(folder) / "request"
        file.write_bytes(request)
        self.process = subprocess.Popen(
            [str(LOAD), "park", "-a", f"127.0.0.1:{port}", "-r", str(file),
             "-c", str(CLIENTS), "-m", str(CHANNELS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            bufsize=1)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.process.stdin.close()
        self.process.wait(wire.TIMEOUT)
        self.process.stdout.close()

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        words = self.process.stdout.readline().split()
        return dict(zip(words[::2], words[1::2]))


def poll(position=None):
    at = ""
    if position is not None:
        at = (f"If-Modified-Since: {front.http_date(position[0])}\r\n"
              f"If-None-Match: {position[1]}\r\n")
    return (f"GET /poll/?CHANNEL_ID={MARK} HTTP/1.1\r\nHost: storm\r\n{at}"
            "\r\n").encode()


def publish_each(folder, port):
    """One message in each channel."""
    file = pathlib.Path(folder) / "publish"
    file.write_bytes(
        f"POST /pub/?CHANNEL_ID={MARK} HTTP/1.1\r\nHost: storm\r\n"
        "Content-Length: 3\r\n\r\nnew".encode())
    subprocess.run(
        [str(LOAD), "publish", "-a", f"127.0.0.1:{port}", "-r", str(file),
         "-c", "16", "-m", str(CHANNELS), "-q", "-n", str(CHANNELS)],
        check=True, stdout=subprocess.DEVNULL)


def check_all_answered(told):
    assert (told["answers"], told["refused"], told["broken"]) == (
        str(CLIENTS), "0", "0"), told


def storm(folder, port, position, begin):
    """All have asked; begin() lets somebody answer.  Seconds to the last."""
    with Load(folder, port, poll(position)) as load:
        assert load.tell("park") == {"sent": str(CLIENTS)}
        began = time.monotonic()
        begin()
        told = load.tell("await")
    check_all_answered(told)
    return float(told["ended_s"]) - began


def recorded(d):
    """What the daemon answers such a poll with, record for record."""
    name = front.new_channel()
    front.publisher(d).post(name, b"new")
    location = front.long_polling(
        d, message_template=front_nginx.TEMPLATE)
    with d.connect() as c:
        c.send(wire.fastcgi(location.parameters(
            "GET", name, **front.SINCE_EVER), keep=False))
        got = b""
        while (record := c.record()) is not None:
            got += wire.record(*record)
    return got


def responder_storm(folder, reply):
    """The same, against who does nothing but answer."""
    (folder / "reply").write_bytes(reply)
    paths = [str(folder / f"responder-{n}") for n in range(SOCKETS)]
    responder = subprocess.Popen(
        [str(RESPONDER), "--publish-reply", str(folder / "reply"), *paths],
        stdout=subprocess.PIPE, text=True)
    try:
        assert responder.stdout.readline() == "ready\n"
        responder.send_signal(signal.SIGSTOP)   # the backlogs fill
        port = world.protocol.free_port()
        there = types.SimpleNamespace(fastcgi=paths[0], scgi=paths[0])
        with front_nginx.nginx(folder, there, port, WORKERS, paths):
            return storm(folder, port, (1, 0),
                         lambda: responder.send_signal(signal.SIGCONT))
    finally:
        responder.kill()
        responder.wait()
        responder.stdout.close()


@pytest.fixture
def descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * CLIENTS:
        pytest.skip("too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(bool(front_nginx.missing()),
                    reason=str(front_nginx.missing()))
def test_storm(tmp_path, descriptors):
    d = held.Held(tmp_path, fastcgi=SOCKETS).start()
    port = world.protocol.free_port()
    ready = []

    def restart():
        began = time.monotonic()
        d.start()
        ready.append(time.monotonic() - began)

    try:
        with front_nginx.nginx(tmp_path, d, port, WORKERS, d.fastcgis):
            publish_each(tmp_path, port)
            front.publisher(d).post("mark", b"x")
            at = front.position(front.polling(d).get(
                "mark", **front.SINCE_EVER))
            with Load(tmp_path, port, poll(at)) as load:
                load.tell("park")
                d.wait_for(parked=CLIENTS)
                d.kill()
                # nginx asks at another socket, with their position: nobody
                # has noticed.
                d.start()
                d.wait_for(parked=CLIENTS)
                publish_each(tmp_path, port)
                check_all_answered(load.tell("await"))
            reply = recorded(d)
            d.kill()
            took = storm(tmp_path, port, at, restart)
            status = d.status()
        assert status["deliveries"] == CLIENTS
        base = responder_storm(tmp_path, reply)
    finally:
        d.stop()
        d.close()
    print(f"\nstorm: {CLIENTS} polls over {SOCKETS} sockets and {WORKERS} "
          f"workers, s to the last answer: Holdfast {took:.3f} (from its "
          f"exec; READY after {ready[0]:.3f}), a constant reply {base:.3f}: "
          f"{took / base:.2f}")
