"""Runs the steps of scripts/test one after another; `scripts/test --help` says how it is used."""

import argparse
import sys
import time
import traceback

import steps
from runner import Tally, say


def choose(options):
    if options.only:
        names = options.only.split(",")
        unknown = [name for name in names if name not in steps.known(names)]
        if unknown:
            raise SystemExit(f"no step is called {', '.join(unknown)}; scripts/test --list names them")
        return names
    return ["engine", "coverage"] if options.coverage else list(steps.STEPS)


def run_step(name, function):
    """The step's result; a step that breaks is a failed one."""
    try:
        return function(name)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        return Tally(failed=1, failures=[(name, "the step itself broke; see the trace above")])


def main():
    parser = argparse.ArgumentParser(prog="scripts/test")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    available = {**steps.STEPS, **steps.EXTRA}
    if options.list:
        for name, (what, _) in available.items():
            print(f"{name:10} {what}")
        return 0

    steps.default_environment()
    names = choose(options)
    total, spent = Tally(), []
    begin = time.monotonic()
    for number, name in enumerate(names, 1):
        what, function = available[name]
        say(f"== [{number}/{len(names)}] {name}: {what}")
        start = time.monotonic()
        tally = run_step(name, function)
        total.add(tally)
        seconds = time.monotonic() - start
        spent.append((name, tally, seconds))
        for failure, advice in tally.failures:
            say(f"  FAILED {failure}\n    what to do: {advice}")
        say(f"   {name}: {tally.passed} passed, {tally.failed} failed in {seconds:.0f} s")

    say("")
    for name, tally, seconds in spent:
        say(f"{name:10} {tally.passed:5} passed {tally.failed:4} failed {seconds:7.0f} s")
    for failure, advice in total.failures:
        say(f"FAILED {failure}: {advice}")
    say(f"all of it took {(time.monotonic() - begin) / 60:.1f} minutes")
    say(f"{total.passed} passed, {total.failed} failed")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
