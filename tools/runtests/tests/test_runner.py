import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import coverage  # noqa: E402
import runner  # noqa: E402
import steps  # noqa: E402


class Counts(unittest.TestCase):
    def test_gtest(self):
        self.assertEqual(runner.gtest_counts("[==========] 3 tests ran.\n[  PASSED  ] 3 tests.\n"), (3, 0))
        mixed = "[  PASSED  ] 2 tests.\n[  FAILED  ] 1 test, listed below:\n[  FAILED  ] A.b\n"
        self.assertEqual(runner.gtest_counts(mixed), (2, 1))
        self.assertEqual(runner.gtest_counts("Segmentation fault"), (0, 0))

    def test_pytest(self):
        self.assertEqual(runner.pytest_counts("==== 5 passed in 1.20s ====\n"), (5, 0))
        line = "= 1 failed, 5 passed, 2 skipped, 1 error, 3 warnings in 62.10s (0:01:02) ="
        self.assertEqual(runner.pytest_counts(line), (5, 4))
        self.assertEqual(runner.pytest_counts("no summary"), (0, 0))

    def test_unittest(self):
        self.assertEqual(runner.unittest_counts("Ran 7 tests in 0.1s\n\nOK\n"), (7, 0))
        self.assertEqual(runner.unittest_counts("Ran 7 tests in 0.1s\n\nFAILED (failures=1, errors=2)\n"), (4, 3))


class Verdicts(unittest.TestCase):
    def ran(self, *command, timeout=20):
        return runner.run("selftest", command, timeout=timeout)

    def test_an_exit_code_without_counted_failures_is_a_failure(self):
        tally = runner.counted("x", self.ran("false"), 3, 0, "advice")
        self.assertEqual((tally.passed, tally.failed), (3, 1))

    def test_a_runner_that_ran_nothing_has_failed(self):
        tally = runner.counted("x", self.ran("true"), 0, 0, "advice")
        self.assertEqual((tally.passed, tally.failed), (0, 1))

    def test_a_command_past_its_time_is_killed_and_fails(self):
        ran = self.ran("sh", "-c", "sleep 60 & sleep 60", timeout=0.5)
        self.assertNotEqual(ran.code, 0)
        self.assertLess(ran.seconds, 10)

    def test_every_step_is_named_once(self):
        self.assertEqual(steps.known([*steps.STEPS, *steps.EXTRA, "nothing"]), [*steps.STEPS, *steps.EXTRA])


class Parts(unittest.TestCase):
    def test_every_part_of_every_program_is_run_once_the_longest_first(self):
        longest = max(steps.SHARDS, key=steps.SHARDS.get)
        parts = steps.parts_of(["base", longest])
        count = steps.SHARDS[longest]
        self.assertEqual(parts[:count], [(f"{longest}_tests", index, count) for index in range(count)])
        self.assertEqual(parts[count:], [("base_tests", 0, 1)])


class Coverage(unittest.TestCase):
    FILES = [
        ("/w/src/net/a.cpp", 90, 100),
        ("../../src/net/core/b.cpp", 99, 100),
        ("/w/src/net/tests/a_test.cpp", 0, 1000),
        ("/w/src/sys/testing/fake.cpp", 0, 1000),
        ("/usr/include/x.hpp", 0, 1000),
    ]

    def test_modules_and_core_folders(self):
        modules, cores = coverage.summarise(self.FILES)
        self.assertEqual(modules, {"net": [189, 200]})
        self.assertEqual(cores, {"net/core": [99, 100]})

    def test_the_limits(self):
        tally, _ = coverage.verdict({"net": [90, 100]}, {"net/core": [95, 100]})
        self.assertEqual((tally.passed, tally.failed), (2, 0))
        tally, _ = coverage.verdict({"net": [89, 100]}, {"net/core": [94, 100]})
        self.assertEqual((tally.passed, tally.failed), (0, 2))

    def test_no_lines_at_all_is_a_failure(self):
        tally, _ = coverage.verdict({}, {})
        self.assertEqual(tally.failed, 1)


if __name__ == "__main__":
    unittest.main()
