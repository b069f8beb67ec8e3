#!/usr/bin/python3
"""Run a console script by the name of its entry point.

Debian's python3-neutron, python3-keystone and python3-octavia hold the code of
the daemons. Their wrappers in /usr/bin are in other packages, with init
scripts, users and questions. The wrappers do no more than this.
"""
import sys
from importlib import metadata


def main():
    name = sys.argv[1]
    sys.argv = sys.argv[1:]
    found = metadata.entry_points(group='console_scripts', name=name)
    if not found:
        sys.exit('no console script is called %s' % name)
    sys.exit(next(iter(found)).load()())


if __name__ == '__main__':
    main()
