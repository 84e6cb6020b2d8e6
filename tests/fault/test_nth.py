"""The n-th call fails, for each kind of call and each n: memory, SQLite,
files, sockets, threads.  No crash, no hang, no leak, no false acknowledgement, and a
daemon that starts afterwards has all that was acknowledged (nth.py says what
happens in a life, and what is looked at).

HOLDFAST_NTH_RUNS is how many n of each kind are tried (of memory: ten times as
many), spread over all that there are; 0 is each of them: that is
`make check-nth`.  HOLDFAST_NTH_JOBS is
how many lives are led at a time.  A life that went wrong is repeated with
HOLDFAST_NTH_ONE="kind n times error"."""

import concurrent.futures
import itertools
import os
import random
import re

import pytest

import nth
from nth import FOR_EVER, KINDS, Life

RUNS = int(os.environ.get("HOLDFAST_NTH_RUNS", "6"))
JOBS = int(os.environ.get("HOLDFAST_NTH_JOBS") or 2 * (os.cpu_count() or 1))
ONE = os.environ.get("HOLDFAST_NTH_ONE")
MARGIN = 1.02       # lives differ by a few calls

pytestmark = pytest.mark.skipif(
    not os.path.exists(nth.SHIM), reason=f"there is no {nth.SHIM}")


def live(fail=None, healthy=0):
    """One life; what went wrong, or None.  `healthy`: what one without a fault
    leaves unfreed."""
    life = Life(fail)
    try:
        life.run()
        if fail is not None and leaks(life, healthy):
            raise nth.Defect(f"{life.unfreed - healthy} not freed")
        return life, None
    except Exception as e:      # noqa: BLE001  (told by the test)
        return life, (f"{fail}: {type(e).__name__}: {e}\n"
                      f"{life.daemon.said()[-2000:]}\n{life.stack()[:3000]}")
    finally:
        life.forget()


@pytest.fixture(scope="module")
def healthy():
    """What is counted when nothing fails."""
    lives = [live() for _ in range(3)]
    for _, wrong in lives:
        assert wrong is None, wrong
    counts = {kind: max(life.counts[kind] for life, _ in lives)
              for kind in KINDS}
    print("calls: " + ", ".join(f"{n} {kind}" for kind, n in counts.items()))
    return counts, max(life.unfreed for life, _ in lives)


def chosen(kind, count, chance):
    """Which n: all, or as many as are wanted, one from each stretch."""
    runs = RUNS * 10 if kind == "malloc" else RUNS
    if runs == 0 or count <= runs:
        return list(range(1, int(count * MARGIN) + 2))
    return [chance.randint(count * i // runs + 1, count * (i + 1) // runs)
            for i in range(runs)]


def leaks(life, healthy):
    """Whether more is left at the end than when nothing fails, and it is ours:
    libc and OpenSSL leave something when they fail."""
    return (life.status == 0 and life.unfreed > healthy and
            not re.search("initgroups|CRYPTO_|OPENSSL_", life.stack()))


VARIANTS = [(kind, error, times) for kind, errors in KINDS.items()
            for error in errors for times in (1, FOR_EVER)
            if times == 1 or kind in nth.LASTING]


@pytest.mark.skipif(ONE is not None, reason="one life is repeated")
@pytest.mark.parametrize("kind, error, times", VARIANTS, ids=lambda v: str(v))
def test_nth(healthy, kind, error, times):
    counts, unfreed = healthy
    fails = [(kind, n, times, error)
             for n in chosen(kind, counts[kind], random)]
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        lives = list(pool.map(live, fails, itertools.repeat(unfreed)))
    fired = sum(bool(life.fired) for life, _ in lives)
    print(f"{kind} {error}: {len(lives)} lives, {fired} with a fault")
    wrong = [why for _, why in lives if why is not None]
    assert not wrong, f"{len(wrong)} of {len(lives)}\n" + "\n".join(wrong[:5])
    assert fired, "nothing has failed"


@pytest.mark.skipif(ONE is None, reason="only to repeat one")
def test_one(healthy):
    kind, n, times, error = ONE.split()
    _, wrong = live((kind, int(n), int(times), int(error)), healthy[1])
    assert wrong is None, wrong
