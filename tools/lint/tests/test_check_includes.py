import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import check_includes  # noqa: E402


class House:
    """A small tree with modules base, sys, net and api."""

    def __init__(self, folder, uses=None):
        self.root = pathlib.Path(folder)
        uses = uses or {"base": "", "sys": "base", "net": "base sys", "api": "base"}
        (self.root / "CMakeLists.txt").write_text("foreach(module base sys net\n   api)\n")
        for module, names in uses.items():
            self.write(
                f"src/{module}/CMakeLists.txt",
                f"corral_module({module} USES {names} LINKS Boost::json)\n",
            )

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def found(self):
        return check_includes.check(self.root)


class CheckIncludes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_a_clean_tree(self):
        house = House(self.folder)
        house.write("src/api/x.cpp", '#include "base/text.hpp"\n#include <vector>\n')
        house.write("src/net/x.cpp", '#include "sys/fd.hpp"\n#include <boost/beast.hpp>\n')
        self.assertEqual(house.found(), [])

    def test_an_include_of_a_module_not_in_uses(self):
        house = House(self.folder)
        house.write("src/api/x.cpp", '\n#include "net/stream.hpp"\n')
        self.assertEqual(
            house.found(),
            ['src/api/x.cpp:2: "net/stream.hpp": the module api does not name net in USES'],
        )

    def test_uses_of_a_module_below_or_unknown(self):
        house = House(self.folder, {"base": "net", "sys": "", "net": "net", "api": "bass"})
        text = "\n".join(house.found())
        self.assertIn("USES names net, which does not lie above base", text)
        self.assertIn("USES names net, which does not lie above net", text)
        self.assertIn("USES names bass, which is no module", text)

    def test_a_folder_that_is_no_module(self):
        house = House(self.folder)
        house.write("src/extra/x.cpp", "")
        self.assertIn("src/extra:1: the folder is no module", house.found()[0])

    def test_libraries_kept_in_one_place(self):
        house = House(self.folder)
        house.write(
            "src/api/x.cpp",
            "#include <boost/asio/awaitable.hpp>\n#include <boost/asio/ip/tcp.hpp>\n"
            "#include <boost/beast/http.hpp>\n#include <sqlite3.h>\n#include <sys/stat.h>\n",
        )
        lines = [line.split(": ")[0] for line in house.found()]
        self.assertEqual(lines, [f"src/api/x.cpp:{n}" for n in (2, 3, 4, 5)])

    def test_tests_may_name_the_operating_system_but_not_sockets(self):
        house = House(self.folder)
        house.write("src/api/tests/x.cpp", "#include <unistd.h>\n#include <boost/asio.hpp>\n")
        self.assertEqual(len(house.found()), 1)
        self.assertIn("x.cpp:2", house.found()[0])

    def test_our_own_header_named_like_a_system_folder(self):
        house = House(self.folder)
        house.write("src/sys/clock.hpp", "")
        house.write("src/net/x.cpp", "#include <sys/clock.hpp>\n")
        self.assertIn("write it with quotes", house.found()[0])

    def test_climbing_out_of_a_module(self):
        house = House(self.folder)
        house.write("src/api/x.cpp", '#include "../net/stream.hpp"\n')
        self.assertIn("climbs out", house.found()[0])


if __name__ == "__main__":
    unittest.main()
