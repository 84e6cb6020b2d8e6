"""Nchan, a module of nginx that keeps its messages in RAM: what clients could
talk to instead of the HTTP listener.  Who has not installed it (Debian:
libnginx-mod-nchan) gets the other sides' figures."""
import os
import re
import subprocess
import tempfile

from templates import NCHAN_SIDE

PACKAGE = "libnginx-mod-nchan"
MODULE = "ngx_nchan_module.so"


def output(*argv):
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def module():
    """Where nginx would load it from, or None."""
    folder = re.search(r"--modules-path=(\S+)", output("nginx", "-V"))
    path = os.path.join(folder[1], MODULE) if folder else ""
    return path if os.path.isfile(path) else None


def start(rig):
    """(nginx, its worker's pid), or None."""
    path = module()
    if path is None:
        return None
    return rig.run_nginx(
        tempfile.mkdtemp(prefix="nchan-", dir=rig.run),
        NCHAN_SIDE % {"port": rig.ports["nchan"]},
        rig.ports["nchan"],
        f"load_module {path};",
    )


def remark(report, bench, nchan, how):
    """Which Nchan it was, or that there was none."""
    if nchan is None:
        report.remark(bench, f"not against Nchan: no {PACKAGE} here")
        return
    version = output("dpkg-query", "-W", "-f", "${Version}", PACKAGE)
    report.remark(bench, f"Nchan {version or '?'}, one worker, {how}")
