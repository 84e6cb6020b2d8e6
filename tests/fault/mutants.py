#!/usr/bin/env python3
"""Is a fault found?  Each patch in mutants/ plants one into a copy of a source
file; the daemon with it must fail the kill or the power cut test, by a check of
the ledger.  `make check-mutants` runs this, with the commands that compile and
link the daemon in COMPILE, LINK, OBJECTS and LIBS.

Arguments: names of mutants; none: all, and the daemon as it is, where nothing
may be found."""

import os
import pathlib
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import ledger as rules
import world
import test_kill
import test_powercut

SOURCE = world.TESTS.parent
PATCHES = sorted((SOURCE / "tests/fault/mutants").glob("*.patch"))
KILLS, CUTS = 40, 60        # at most, until it is found
CONTROL_KILLS, CONTROL_CUTS = 20, 10


class Unusable(Exception):
    """The patch makes no mutant any more."""


def command(*words):
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        raise Unusable(f"there is no {words[0]}") from None
    if done.returncode != 0:
        raise Unusable(f"{shlex.join(words[:2])}: {done.stdout}{done.stderr}")


def build(patch, folder):
    """The daemon with this fault."""
    name, = re.findall(r"^\+\+\+ b/(\S+)", patch.read_text(), re.M)
    copy = folder / name
    copy.parent.mkdir(parents=True)
    shutil.copyfile(SOURCE / name, copy)
    command("patch", "-s", "-p1", "-F0", "-d", str(folder), "-i", str(patch))
    part = copy.with_suffix(".o")
    command(*shlex.split(os.environ["COMPILE"]), "-Wno-error", "-c",
            "-o", str(part), str(copy))
    # It takes the place of the part of that name.
    library = folder / "libholdfast.a"
    shutil.copyfile("libholdfast.a", library)
    command("ar", "r", str(library), str(part))
    daemon = folder / "holdfastd"
    command(*shlex.split(os.environ["LINK"]), "-o", str(daemon),
            *shlex.split(os.environ["OBJECTS"]),
            *(str(library) if word == "libholdfast.a" else word
              for word in shlex.split(os.environ["LIBS"])))
    return str(daemon)


def told(broken):
    """By which check, and what it said."""
    for key, why in broken.items():
        check = key[-1] if isinstance(key, tuple) else key
        return check.__name__.removeprefix("check_"), why
    return None


def make(folder, name):
    return pathlib.Path(tempfile.mkdtemp(prefix=name, dir=folder))


def by_quiet_night(folder, seed):
    try:
        test_powercut.quiet_night(make(folder, "quiet"), seed).check()
    except rules.Broken as e:
        return e.check, str(e)
    return None


def search(folder, seed, kills, cuts):
    """(test, check, why) of what was found, or None: a few of each in turn."""
    found = by_quiet_night(folder, seed)
    if found:
        return ("quiet night", *found)
    kill = test_kill.Run(seed)
    power = test_powercut.Run(lambda name: make(folder, name), cuts, seed)
    while kill.rounds < kills or not power.over():
        if not power.over():
            power.machine()
        if power.broken:
            return ("power cut", *told(power.broken))
        if kill.rounds < kills:
            kill.epoch(make(folder, "kill"), 10)
        if kill.broken:
            return ("kill", *told(kill.broken))
    return None


def try_mutant(patch, seed):
    """Was it found?  And what to say of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            world.protocol.HOLDFASTD = build(patch, folder)
        except Unusable as e:
            return False, f"is no mutant any more: {e}"
        began = time.monotonic()
        found = search(folder, seed, KILLS, CUTS)
        took = f"({time.monotonic() - began:.0f} s)"
    if not found:
        return False, f"was not found {took}"
    test, check, why = found
    return True, f"found by {test}, {check}: {why[:60]}... {took}"


def try_as_it_is(seed):
    with tempfile.TemporaryDirectory() as name:
        found = search(pathlib.Path(name), seed, CONTROL_KILLS, CONTROL_CUTS)
    return not found, f"broken: {found}" if found else "nothing to find"


def main(names):
    seed = int(os.environ.get("HOLDFAST_MUTANTS_SEED") or
               random.randrange(1 << 32))
    print(f"HOLDFAST_MUTANTS_SEED={seed}", flush=True)
    unknown = set(names) - {p.stem for p in PATCHES}
    if unknown:
        sys.exit(f"there is no mutant {' '.join(unknown)}")
    missed = []
    if not names:
        good, said = try_as_it_is(seed)
        print(f"{'ok' if good else 'NOT OK'}: the daemon as it is: {said}",
              flush=True)
        missed += [] if good else ["as it is"]
    for patch in PATCHES:
        if names and patch.stem not in names:
            continue
        good, said = try_mutant(patch, seed)
        print(f"{'ok' if good else 'NOT OK'}: {patch.stem} {said}", flush=True)
        missed += [] if good else [patch.stem]
    print(f"{len(missed)} not as it should be: {' '.join(missed)}" if missed
          else "every fault was found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
