"""Move the sockets of octavia-driver-agent into the directory of the cloud.

The OVN provider makes its DriverLibrary without arguments, so that the paths
in octavia.conf do not reach it: it would wait for /var/run/octavia/*.sock, and
octavia-api with it, before it serves anything.
"""
import os

_sockets = os.environ.get('FAIRLEAD_OCTAVIA_SOCKETS')
if _sockets:
    from octavia_lib.api.drivers import driver_lib
    driver_lib.DriverLibrary.__init__.__defaults__ = tuple(
        '%s/octavia-%s.sock' % (_sockets, name)
        for name in ('status', 'stats', 'get'))
