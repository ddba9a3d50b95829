import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import tidy  # noqa: E402

# Stands in for clang-tidy: notes each call, finds the word FAULT, and refuses a text that defines `same` twice.
PROGRAM = """#!{python}
import json, pathlib, sys
if sys.argv[1:] == ["--version"]:
    print("LLVM version {version}")
    sys.exit(0)
split = sys.argv.index("--")
source = pathlib.Path(sys.argv[split - 1])
text = source.read_text()
arguments = sys.argv[split + 1:]
header = pathlib.Path(arguments[arguments.index("-include") + 1]) if "-include" in arguments else None
beside = header is not None and header.with_name(header.name + ".pch").exists()
with open({calls!r}, "a") as calls:
    calls.write(json.dumps({{"text": text, "arguments": arguments, "options": sys.argv[1 : split - 1],
                            "header": header and header.read_text(), "compiled header": beside}}) + "\\n")
if text.count("int same") > 1:
    print(f"{{source}}:2:5: error: redefinition of 'same' [clang-diagnostic-error]")
    sys.exit(1)
found = [number for number, line in enumerate(text.splitlines(), 1) if "FAULT" in line]
for number in found:
    print(f"{{source}}:{{number}}:3: error: a fault [bugprone-fault,-warnings-as-errors]")
sys.exit(1 if found else 0)
"""


class House:
    """A checkout with a configured build folder, a fake clang-tidy and a cache of its own."""

    def __init__(self, folder, name="house"):
        self.folder = pathlib.Path(folder)
        self.root = self.folder / name
        self.calls_path = self.folder / "calls"
        self.tidy = self.folder / "clang-tidy"
        self.install("23.1.4")
        self.write("tools/lint/tidy.py", pathlib.Path(tidy.__file__).read_text())
        self.write(".clang-tidy", "Checks: bugprone-*\n")
        self.write("src/net/a.hpp", "int a();\n")
        self.write("src/net/a.cpp", '#include "net/a.hpp"\nint a() { return 1; }\n')
        self.write("src/net/b.cpp", "int b() { return 2; }\n")
        self.write("build/debug/CMakeFiles/corral_pch.dir/cmake_pch.hxx", "#include <vector>\n")
        self.write("build/debug/CMakeFiles/corral_pch.dir/cmake_pch.hxx.pch", "the compiler's own")
        self.entries = []
        for source in ("a", "b"):
            self.compile(f"src/net/{source}.cpp")

    def install(self, version):
        self.tidy.write_text(
            PROGRAM.format(python=sys.executable, version=version, calls=str(self.calls_path))
        )
        self.tidy.chmod(self.tidy.stat().st_mode | stat.S_IXUSR)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def compile(self, source):
        header = self.root / "build/debug/CMakeFiles/corral_pch.dir/cmake_pch.hxx"
        command = (
            f"compile-cached /usr/bin/clang++-19 -DX=1 -I{self.root}/src -std=c++2b -Winvalid-pch"
            f" -Xclang -fno-pch-timestamp -Xclang -include-pch -Xclang {header}.pch"
            f" -Xclang -include -Xclang {header} -o x.o -c {self.root / source}"
        ).replace("compile-cached", f"{self.root}/cmake/compile-cached")
        self.entries.append({"file": str(self.root / source), "command": command})
        self.write("build/debug/compile_commands.json", json.dumps(self.entries))

    def run(self, *options, python=sys.executable, tidy=None):
        """(exit status, printed lines, calls of clang-tidy)"""
        named = ("--tidy", self.tidy) if tidy is None else tidy
        self.calls_path.write_text("")
        ran = subprocess.run(
            [python, "-B", self.root / "tools/lint/tidy.py", *named, "--jobs", "1", *options],
            capture_output=True,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache")},
        )
        calls = [json.loads(line) for line in self.calls_path.read_text().splitlines()]
        return ran.returncode, (ran.stdout + ran.stderr).splitlines(), calls


class Tidy(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.house = House(folder.name)

    def last_line(self, lines):
        return [line for line in lines if "remembered" in line][-1]

    def test_files_of_a_module_are_checked_in_one_text(self):
        code, lines, calls = self.house.run()
        self.assertEqual(code, 0)
        self.assertEqual(self.last_line(lines), "tidy: 2 checked, 0 remembered, 0 with findings")
        self.assertEqual(len(calls), 1)
        self.assertIn("int a()", calls[0]["text"])
        self.assertIn("int b()", calls[0]["text"])
        self.assertEqual(calls[0]["options"][-1], f"--config-file={self.house.root}/.clang-tidy")

    def test_the_common_header_is_read_as_text_and_the_compilers_own_is_not(self):
        _, _, calls = self.house.run()
        self.assertEqual(calls[0]["header"], "#include <vector>\n")
        self.assertFalse(calls[0]["compiled header"])
        arguments = calls[0]["arguments"]
        self.assertFalse([one for one in arguments if "pch" in one], arguments)
        self.assertNotIn("-Xclang", arguments)
        self.assertIn("-DX=1", arguments)
        self.assertIn("-std=c++2b", arguments)

    def test_other_arguments_for_the_compiler_itself_are_kept(self):
        self.house.entries[0]["command"] += " -Xclang -fother"
        self.assertEqual(tidy.tidy_arguments(self.house.entries[0])[-2:], ["-Xclang", "-fother"])

    def test_a_text_without_the_common_header_includes_none(self):
        command = self.house.entries[0]["command"]
        self.house.entries = [{**self.house.entries[0], "command": command.split(" -Xclang")[0]}]
        self.house.write("build/debug/compile_commands.json", json.dumps(self.house.entries))
        code, _, calls = self.house.run()
        self.assertEqual((code, calls[0]["header"]), (0, None))

    def test_what_was_clean_is_remembered_until_told_to_forget(self):
        self.house.run()
        code, lines, calls = self.house.run()
        self.assertEqual((code, calls), (0, []))
        self.assertEqual(self.last_line(lines), "tidy: 2 checked, 2 remembered, 0 with findings")
        _, lines, calls = self.house.run("--forget")
        self.assertEqual(len(calls), 1)
        self.assertEqual(self.last_line(lines), "tidy: 2 checked, 0 remembered, 0 with findings")

    def test_forgetting_one_file_keeps_the_others(self):
        self.house.run()
        _, _, calls = self.house.run("--forget", str(self.house.root / "src/net/b.cpp"))
        self.assertEqual(len(calls), 1)
        _, _, calls = self.house.run()
        self.assertEqual(calls, [])

    def test_a_checkout_elsewhere_remembers_too(self):
        self.house.run()
        elsewhere = House(self.house.folder, "elsewhere")
        _, _, calls = elsewhere.run()
        self.assertEqual(calls, [])

    def test_what_a_result_depends_on_makes_it_void(self):
        change = {
            "the header": ("src/net/a.hpp", "int a(); // changed\n", "a"),
            "the source": ("src/net/b.cpp", "int b() { return 3; }\n", "b"),
            "the checks": (".clang-tidy", "Checks: performance-*\n", "ab"),
            "the common header": ("build/debug/CMakeFiles/corral_pch.dir/cmake_pch.hxx", "#include <map>\n", "ab"),
        }
        for what, (name, text, again) in change.items():
            with self.subTest(what):
                self.house.run()
                self.house.write(name, text)
                _, _, calls = self.house.run()
                checked = "".join(one for one in "ab" if any(f"int {one}()" in call["text"] for call in calls))
                self.assertEqual(checked, again)

    def test_another_version_of_the_tool_checks_again(self):
        self.house.run()
        self.house.install("23.2.0")
        _, _, calls = self.house.run()
        self.assertEqual(len(calls), 1)

    def test_a_finding_names_its_file_and_line_and_is_not_remembered(self):
        self.house.write("src/net/b.cpp", "int b();\n\nint b() { return 0; }  // FAULT\n")
        for _ in range(2):
            code, lines, _ = self.house.run()
            self.assertEqual(code, 1)
            self.assertIn(f"{self.house.root}/src/net/b.cpp:3:3: error: a fault", "\n".join(lines))
            self.assertNotIn("a.cpp:", "\n".join(lines))
        self.assertEqual(self.last_line(lines), "tidy: 2 checked, 1 remembered, 1 with findings")

    def test_files_that_do_not_join_are_taken_apart(self):
        self.house.write("src/net/a.cpp", "int same() { return 1; }\n")
        self.house.write("src/net/b.cpp", "int same() { return 2; }\n")
        code, lines, calls = self.house.run()
        self.assertEqual((code, len(calls)), (0, 3))
        self.assertEqual(self.last_line(lines), "tidy: 2 checked, 0 remembered, 0 with findings")

    def test_nothing_is_left_in_the_build_folder(self):
        self.house.run()
        self.assertEqual(list((self.house.root / "build/debug/tidy").iterdir()), [])

    def test_without_the_program_it_says_what_to_do(self):
        self.house.tidy.unlink()
        code, lines, _ = self.house.run()
        self.assertEqual(code, 2)
        self.assertIn("the Python of the tests' environment", lines[-1])

    def test_the_program_stands_beside_the_python_that_runs_it(self):
        environment = self.house.folder / "bin"
        environment.mkdir()
        (environment / "python").symlink_to(sys.executable)
        self.house.tidy = self.house.tidy.rename(environment / "clang-tidy")
        code, _, calls = self.house.run(python=environment / "python", tidy=())
        self.assertEqual((code, len(calls)), (0, 1))


class Batches(unittest.TestCase):
    def paths(self, module, count):
        return [pathlib.Path(f"/x/src/{module}/{number:02}.cpp") for number in range(count)]

    def test_a_module_is_shared_out_evenly_among_the_fewest_texts(self):
        sizes = [len(one) for one in tidy.batches(self.paths("net", tidy.MOST_JOINED + 4), 2)]
        self.assertEqual(sizes, [tidy.MOST_JOINED // 2 + 2] * 2)

    def test_modules_stand_apart_and_so_do_their_tests(self):
        todo = [*self.paths("net", 2), *self.paths("sys", 2), *self.paths("net/tests", 2)]
        self.assertEqual(len(tidy.batches(todo, 1)), 3)

    def test_each_job_has_work(self):
        self.assertEqual(len(tidy.batches(self.paths("net", 6), 3)), 3)


if __name__ == "__main__":
    unittest.main()
