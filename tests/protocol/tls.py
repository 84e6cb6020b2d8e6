"""Certificates for the HTTPS listener, made by openssl(1), and a client that
speaks TLS: wire.Client does when its address says so."""

import functools
import os
import pathlib
import ssl
import subprocess

import wire


def openssl(*args, folder, **options):
    return subprocess.run(["openssl", *map(str, args)], cwd=folder,
                          check=True, capture_output=True, **options).stdout


EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Cert:
    """NAME.pem and NAME.key in a folder, made out to these hosts."""

    def __init__(self, folder, name, *hosts, key=EC, cn=None):
        folder = pathlib.Path(folder)
        self.pem, self.key = folder / (name + ".pem"), folder / (name + ".key")
        names = ["-addext", "subjectAltName=" + ",".join(
            "DNS:" + h for h in hosts)] if hosts else []
        openssl("req", "-x509", "-newkey", *key, "-nodes", "-days", "30",
                "-subj", "/CN=" + (cn or name), "-keyout", self.key, "-out",
                self.pem, *names, folder=folder)
        os.chmod(self.key, 0o600)

    def der(self):
        return ssl.PEM_cert_to_DER_cert(self.pem.read_text())


def settings(*certs):
    return {"tls_certificate": [str(c.pem) for c in certs],
            "tls_certificate_key": [str(c.key) for c in certs]}


@functools.lru_cache(None)
def any_context():
    """A client that looks at no name."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    return c


class Address(tuple):
    """(host, port) of an HTTPS listener.  A connection that ends without a
    close_notify is an error to this client."""
    context, name = None, None

    def wrap(self, sock):
        return (self.context or any_context()).wrap_socket(
            sock, server_hostname=self.name, suppress_ragged_eofs=False)


def address(host_port, context=None, name=None):
    a = Address(host_port)
    a.context, a.name = context, name
    return a


def shaken(host_port, **how):
    """A connection's socket, after the handshake."""
    return wire.Client(address(host_port, **how))
