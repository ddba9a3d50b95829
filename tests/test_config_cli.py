"""Configuration and the commands, from outside."""

import json
import signal

import pytest

from harness.corral import MODEL, ROOT, run_cli, wait_until


def write(tmp_path, text, name="corral.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_check_accepts_a_good_file(tmp_path):
    ended = run_cli("config", "check", "--config", write(tmp_path, "log:\n  level: debug\n"))
    assert ended.returncode == 0, ended.stderr


def test_json_is_a_configuration_too(tmp_path):
    path = write(tmp_path, json.dumps({"log": {"level": "debug"}}), "corral.json")
    assert run_cli("config", "check", "--config", path).returncode == 0


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("server:\n  lisen: []\n", 2, ["lisen", "listen"]),
        ("log:\n  level: debug\nserver:\n  idle_timeot: 3s\n", 4, ["idle_timeot", "idle_timeout"]),
        ("log:\n  level: loud\n", 2, ["loud", "debug"]),
        ("server:\n  threads: many\n", 2, ["threads"]),
        ("server:\n  listen: ['127.0.0.1:70000']\n", 2, ["70000"]),
    ],
)
def test_check_names_file_line_and_the_nearest_key(tmp_path, text, line, words):
    path = write(tmp_path, text)
    ended = run_cli("config", "check", "--config", path)
    assert ended.returncode != 0
    said = ended.stdout + ended.stderr
    assert f"corral.yaml:{line}" in said, said
    for word in words:
        assert word in said, said


ENDPOINT = "endpoints:\n  - {name: office, binding: openai, url: 'http://127.0.0.1:9'}\nroutes:\n"


@pytest.mark.parametrize(
    ("routes", "line", "words"),
    [
        ("  - {name: a, targets: [{endpoint: ofice}]}\n", 4, ["ofice", "did you mean 'office'"]),
        ("  - name: a\n    aliases: []\n", 4, ["no target and no fallback"]),
        ("  - name: a\n    targets:\n      - {endpoint: office, weight: 0}\n", 6, ["weight", "group 0"]),
        ("  - name: a\n    targets:\n      - {endpoint: office, weight: -1}\n", 6, ["-1"]),
        ("  - name: a\n    fallbacks: [b]\n    balance: random\n", 6, ["random", "peak_ewma"]),
        ("  - {name: a, fallbacks: [c]}\n  - {name: A, fallbacks: [c]}\n", 5, ["'A'", "'a'"]),
        (
            "  - {name: a, fallbacks: [b]}\n  - {name: b, fallbacks: [a]}\n",
            5,
            ["circle", "a -> b -> a"],
        ),
        ("  - {name: 'a*b', fallbacks: [c]}\n", 4, ["a*b", "end"]),
        ("  - name: a\n    targets:\n      - {endpoint: office, model: '*'}\n", 6, ["'*'"]),
        ("  - name: a\n    fallbacks: [b]\n    hegde: true\n", 6, ["hegde", "hedge"]),
    ],
)
def test_check_refuses_routes_that_cannot_work(tmp_path, routes, line, words):
    ended = run_cli("config", "check", "--config", write(tmp_path, ENDPOINT + routes))
    assert ended.returncode != 0
    said = ended.stdout + ended.stderr
    assert f"corral.yaml:{line}: " in said and "routes[" in said, said
    for word in words:
        assert word in said, said


def test_the_example_of_routes_is_right_and_shown_again(tmp_path):
    example = ROOT / "docs" / "examples" / "routes.yaml"
    assert run_cli("config", "check", "--config", example).returncode == 0
    shown = json.loads(run_cli("config", "export", "--json", "--config", example).stdout)
    assert [route["name"] for route in shown["routes"]] == ["chat", "cloud/*"]
    assert shown["routes"][0]["parameters"] == {"temperature": 0.2, "max_tokens": 1024}
    assert shown["gateway"]["max_priority"] == "normal"
    again = write(tmp_path, run_cli("config", "export", "--config", example).stdout)
    assert run_cli("config", "check", "--config", again).returncode == 0


def test_bad_routes_keep_the_old_configuration(fresh):
    server = fresh(config="log:\n  level: info\n").start()
    server.config_file.write_text("routes:\n  - {name: a, fallbacks: [a]}\n")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log(r"a -> a")
    assert server.chat().status_code == 200


def test_a_bad_file_keeps_the_server_from_starting(fresh):
    server = fresh(config="server:\n  lisen: []\n").launch()
    assert server.wait(20) != 0
    assert "listen" in server.log_text() + "".join(server.out)


def test_schema_and_docs_and_example_agree(tmp_path):
    schema = json.loads(run_cli("config", "schema").stdout)
    assert "server" in schema["properties"]
    docs = run_cli("config", "docs").stdout
    assert "server.listen" in docs and "engines.llama_server.path" in docs
    example = run_cli("config", "example")
    assert example.returncode == 0
    ended = run_cli("config", "check", "--config", write(tmp_path, example.stdout))
    assert ended.returncode == 0, ended.stderr


def test_export_leaves_secrets_out_and_can_be_read_again(tmp_path):
    path = write(tmp_path, "server:\n  api_key: open-sesame\n  threads: 3\n")
    ended = run_cli("config", "export", "--config", path)
    assert ended.returncode == 0, ended.stderr
    assert "open-sesame" not in ended.stdout
    assert "threads: 3" in ended.stdout


def test_the_environment_comes_over_the_file(tmp_path):
    path = write(tmp_path, "server:\n  threads: 3\n")
    ended = run_cli("config", "export", "--config", path, env={"CORRAL_SERVER_THREADS": "5"})
    assert "threads: 5" in ended.stdout


def test_sighup_reloads_what_is_right_and_keeps_the_old_otherwise(fresh):
    server = fresh(config="log:\n  level: info\n").start()
    server.config_file.write_text("log:\n  level: debug\n  access: false\n")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log(r"(?i)reload")
    server.config_file.write_text("log:\n  levle: debug\n")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log(r"levle")
    assert server.chat().status_code == 200


def test_sighup_changes_the_key_at_once(fresh):
    server = fresh(config="server:\n  cors_origins: []\n").start()
    assert server.get("/v1/models").status_code == 200
    server.config_file.write_text("server:\n  api_key: open-sesame\n")
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.get("/v1/models").status_code == 401, 5, "the key to be asked for")
    assert server.get("/v1/models", headers={"Authorization": "Bearer open-sesame"}).status_code == 200


# --- commands against a running server


def test_version():
    plain = run_cli("version")
    assert plain.returncode == 0 and plain.stdout.strip()
    told = json.loads(run_cli("version", "--json").stdout)
    assert told["version"] in plain.stdout


def test_list_show_ps_stop(corral):
    listed = corral.cli("list")
    assert listed.returncode == 0, listed.stderr
    assert MODEL in listed.stdout
    assert MODEL in json.dumps(json.loads(corral.cli("list", "--json").stdout))

    shown = json.loads(corral.cli("show", MODEL, "--json").stdout)
    assert "llama" in json.dumps(shown)
    assert MODEL in corral.cli("show", MODEL).stdout

    assert corral.chat().status_code == 200
    running = corral.cli("ps", "--json")
    assert MODEL in running.stdout
    assert MODEL in corral.cli("ps").stdout
    assert len(corral.engines()) == 1

    assert corral.cli("stop", MODEL).returncode == 0
    wait_until(lambda: not corral.engines(), 10, "the engine to stop")
    assert MODEL not in corral.cli("ps").stdout


def test_run_with_a_prompt(corral):
    ended = corral.cli("run", MODEL, "Hello!", "--temperature", "0")
    assert ended.returncode == 0, ended.stderr
    told = corral.chat("Hello!").json()["choices"][0]["message"]["content"]
    assert told.strip() in ended.stdout


def test_run_reads_the_prompt_from_a_pipe(corral):
    ended = corral.cli("run", MODEL, input="Hello!\n")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()


def test_unknown_model_on_the_command_line(corral):
    ended = corral.cli("run", "corral-tony", "Hello!")
    assert ended.returncode != 0
    assert MODEL in ended.stderr
    ended = corral.cli("show", "corral-tony", "--json")
    assert ended.returncode != 0


def test_no_server_there():
    ended = run_cli("--server", "http://127.0.0.1:9", "list")
    assert ended.returncode != 0
    assert "corral serve" in ended.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    ended = run_cli("completion", shell)
    assert ended.returncode == 0
    for word in ("serve", "list", "config"):
        assert word in ended.stdout


def test_help_names_every_command():
    ended = run_cli("--help")
    assert ended.returncode == 0
    for word in ("serve", "run", "list", "ps", "stop", "show", "config", "version", "completion"):
        assert word in ended.stdout


def test_the_address_of_the_database_is_a_secret(tmp_path):
    secret = {"CORRAL_STORE_URL": "postgresql://corral:hush-hush@127.0.0.1:1/corral"}
    file = write(tmp_path, "log:\n  level: info\n")
    for words in (["export"], ["export", "--json"], ["check"], ["get", "store.url"]):
        ended = run_cli("config", *words, "--config", file, env=secret)
        assert "hush-hush" not in ended.stdout + ended.stderr, words
    assert ended.returncode != 0 and "secret" in ended.stderr
    assert "store.url" in run_cli("config", "docs").stdout
    assert "url" in json.loads(run_cli("config", "schema").stdout)["properties"]["store"]["properties"]
    assert "\nstore:\n" in run_cli("config", "example").stdout


@pytest.mark.parametrize("url", ["mysql://corral:hush-hush@127.0.0.1/x", "sqlite:/no/such/folder/corral.db"])
def test_a_database_that_cannot_be_used_keeps_the_server_from_starting(fresh, url):
    server = fresh(env={"CORRAL_STORE_URL": url}).launch()
    assert server.wait(20) != 0
    said = "".join(server.out) + server.log_text()
    assert "error: " in said and "hush-hush" not in said


def test_the_database_may_lie_elsewhere(fresh, tmp_path):
    place = tmp_path / "elsewhere.db"
    server = fresh(env={"CORRAL_STORE_URL": f"sqlite:{place}"}).start()
    assert place.is_file() and place.stat().st_mode & 0o077 == 0
    assert not (server.data / "corral.db").exists()
