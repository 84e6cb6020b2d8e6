"""A daemon whose wall clock the test sets (stepclock.c)."""

import mmap
import pathlib
import shutil
import struct
import subprocess
import time

import pytest

import world

SOURCE = pathlib.Path(__file__).resolve().parent


def build(folder):
    """The library that stands before the daemon's clock."""
    library = pathlib.Path(folder) / "stepclock.so"
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no cc")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library,
         SOURCE / "stepclock.c", "-ldl"], check=True)
    return library


class Stepped(world.Daemon):
    def __init__(self, folder, library, settings):
        super().__init__(folder, settings)
        self.library = library
        file = self.folder / "stepclock"
        file.write_bytes(bytes(8))
        with open(file, "r+b") as f:
            self.offset = mmap.mmap(f.fileno(), 8)

    def environment(self):
        env = super().environment()
        env["LD_PRELOAD"] = str(self.library)
        env["HOLDFAST_STEPCLOCK"] = str(self.folder / "stepclock")
        # Its library need not be the first then.
        env["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        return env

    def step(self, seconds):
        """The clock is so far from the true one, from now on."""
        self.offset[:] = struct.pack("=q", seconds)

    def set_clock(self, unix_s):
        self.step(unix_s - int(time.time()))

    def restart(self):
        self.stop()
        self.start()
