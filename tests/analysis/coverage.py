#!/usr/bin/python3
"""tests/analysis/coverage.py BUILD [FLOOR=PERCENT...]

What the tests have run of each floor, from the counts that a build with
--enable-coverage has left: lines and branches per folder and file, and with
--missing FILE... the lines that nothing ran.  A branch is an edge that gcov
counts; those of assertions, which are there not to be taken, are left out.
Exit 1 if fewer lines of a floor were run than its bound.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys

FLOORS = ('base', 'auth', 'store', 'push', 'api', 'fcgi', 'daemon', 'ctl')


class File:
    """Counts of one source file, over all programs that have it."""

    def __init__(self):
        self.lines = collections.Counter()      # line: times
        self.branches = collections.Counter()   # (line, place): times

    def add(self, counted, asserts):
        for line in counted['lines']:
            number = line['line_number']
            self.lines[number] += line['count']
            if number in asserts:
                continue
            for place, branch in enumerate(line['branches']):
                self.branches[number, place] += branch['count']


def gcov(build):
    """What gcov says of each object that was run."""
    notes = []
    for folder, _, names in os.walk(build):
        notes += [os.path.join(folder, n) for n in names
                  if n.endswith('.gcda')]
    for at in range(0, len(notes), 50):
        out = subprocess.run(
            ['gcov', '--json-format', '--stdout', '--branch-probabilities',
             *[os.path.abspath(n) for n in notes[at:at + 50]]],
            cwd=build, check=True, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL).stdout
        for line in out.splitlines():
            yield json.loads(line)


def assertions(path):
    """The lines of its assert()s."""
    numbers, inside = set(), False
    with open(path, encoding='utf-8') as source:
        for number, line in enumerate(source, 1):
            inside = inside or re.match(r'\s*assert\(', line) is not None
            if inside:
                numbers.add(number)
                inside = not line.rstrip().endswith(';')
    return numbers


def collect(build, top):
    files = collections.defaultdict(File)
    asserts = {}
    for report in gcov(build):
        for counted in report['files']:
            path = os.path.realpath(os.path.join(
                report['current_working_directory'], counted['file']))
            name = os.path.relpath(path, top)
            if name.split('/')[0] not in FLOORS or not os.path.exists(path):
                continue
            if name not in asserts:
                asserts[name] = assertions(path)
            files[name].add(counted, asserts[name])
    return files


def share(counts):
    """(run, all)"""
    return sum(1 for n in counts.values() if n), len(counts)


def percent(run, of):
    return 100 * run / of if of else 100


def add(totals, name, file):
    for key in (name, name.split('/')[0] + '/', 'all'):
        for i, n in enumerate(share(file.lines) + share(file.branches)):
            totals[key][i] += n


def row(name, counts):
    lines, all_lines, branches, all_branches = counts
    print('%-28s %6d of %6d lines %5.1f %%  %6d of %6d branches %5.1f %%' % (
        name, lines, all_lines, percent(lines, all_lines),
        branches, all_branches, percent(branches, all_branches)))


def show_missing(top, name, file):
    print('--- ' + name)
    with open(os.path.join(top, name), encoding='utf-8') as source:
        for number, line in enumerate(source, 1):
            if number in file.lines and not file.lines[number]:
                print('%5d %s' % (number, line.rstrip()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('build')
    parser.add_argument('bounds', nargs='*', metavar='FLOOR=PERCENT')
    parser.add_argument('--files', action='store_true')
    parser.add_argument('--missing', action='append', default=[],
                        metavar='PREFIX')
    args = parser.parse_intermixed_args()
    top = os.path.realpath(os.path.join(os.path.dirname(__file__), '../..'))
    files = collect(args.build, top)
    totals = collections.defaultdict(lambda: [0, 0, 0, 0])
    for name, file in files.items():
        add(totals, name, file)
    for name in sorted(files):
        if any(name.startswith(prefix) for prefix in args.missing):
            show_missing(top, name, files[name])
    if args.files:
        for name in sorted(files):
            row(name, totals[name])
    for floor in FLOORS:
        row(floor + '/', totals[floor + '/'])
    row('all', totals['all'])
    missed = 0
    for bound in args.bounds:
        floor, least = bound.split('=')
        run, of = totals[floor + '/'][:2]
        if percent(run, of) < float(least) or not of:
            print('%s/: fewer than %s %% of the lines' % (floor, least))
            missed = 1
    return missed


if __name__ == '__main__':
    sys.exit(main())
