import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import check_secrets  # noqa: E402


class CheckSecrets(unittest.TestCase):
    def test_known_shapes(self):
        for line, what in (
            ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
            ("-----BEGIN PRIVATE KEY-----", "a private key"),
            ("x = sk-proj-" + "aB3" * 15, "an OpenAI key"),
            ("ghp_" + "a1B2" * 9, "a GitHub token"),
            ("AKIAABCDEFGHIJKLMNOP", "an AWS key"),
            ("hf_" + "abcdefgh" * 4, "a Hugging Face token"),
            ("postgresql://corral:hunter22@db/corral", "credentials in a URL"),
        ):
            self.assertEqual(check_secrets.scan_line(line), what, line)

    def test_a_random_string_assigned_to_a_secret(self):
        line = 'api_key: "q8Zr2Lw9Xt4Vb7Nc1Ks5"'
        self.assertIn("random string", check_secrets.scan_line(line))

    def test_what_is_no_secret(self):
        for line in (
            'api_key = "test-key-for-the-suite"',
            "password: '***'",
            'token = "the-quick-brown-fox-jumps"',
            "-----BEGIN CERTIFICATE-----",
            "sha512-abc123",
            'key = os.environ["CORRAL_API_KEY"]',
            "http://127.0.0.1:8585/v1",
        ):
            self.assertIsNone(check_secrets.scan_line(line), line)

    def test_the_report_names_the_place_and_not_the_secret(self):
        secret = "ghp_" + "a1B2" * 9
        found = check_secrets.scan_text("a/b.txt", f"one\n{secret}\n", [])
        self.assertEqual(found, ["a/b.txt:2: a GitHub token"])

    def test_the_allow_list(self):
        line = "ghp_" + "a1B2" * 9
        allowed = [("a/*", re.compile("^ghp_a1"))]
        self.assertEqual(check_secrets.scan_text("a/b.txt", line, allowed), [])
        self.assertEqual(len(check_secrets.scan_text("c/b.txt", line, allowed)), 1)


if __name__ == "__main__":
    unittest.main()
