"""Experiments with a service of one's own as an arm: measured, judged and reported as the lab's own are, by what its
clients and the machine say.
"""

import os
import re
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.runner.small import SEED
from tests.target.conftest import GUNICORN, THREADED, UVICORN, running, toml, written
from tests.target.test_compose import changes, played
from tests.target.test_compose import toml as composed
from waitlab import experiment, judgement, quantities, results, validity
from waitlab.errors import LabError
from waitlab.experiment import Experiment, Load
from waitlab.report.markdown import markdown
from waitlab.report.page import page
from waitlab.results import Run
from waitlab.runner.run import EndedError
from waitlab.runner.run import run as run_experiment
from waitlab.verbs import commands

HEAD = 'title = "My shop"\nquestion = "Do threads help it?"\n'
THREADS = """
[load]
users = 8
seconds = 2
repeats = 3

[arms.shop]
service = "shop/lab.toml"
request = "/orders"
threads = [1, 4]

[[predictions]]
says = "Four threads wait for four at once."
arm = "shop threads=4"
quantity = "throughput_rps"
equals = 80
within = 0.25

[[predictions]]
says = "One waits for one."
arm = "shop threads=1"
quantity = "throughput_rps"
at_most = 20.5

[[predictions]]
says = "A wait costs no core."
quantity = "cores_used"
at_most = 0.5
"""
FIRST = """
[arms.shop]
service = "shop/lab.toml"
request = "/orders"
workers = 1
users = 4
seconds = 1
repeats = 1

[[predictions]]
says = "It answers."
quantity = "throughput_rps"
at_least = 1
"""


def asked(folder: Path, text: str) -> Experiment:
    file = folder / "mine.toml"
    file.write_text(HEAD + text)
    return experiment.read(file)


def run(one: Experiment, folder: Path, environment: Mapping[str, str]) -> Run:
    commands.check(one)
    try:
        found = run_experiment(one, folder / "results", environment, SEED, lambda step: None, facts={"made": "up"})
    except EndedError as ended:
        found = ended.folder
    return results.read(found)


def refused(folder: Path, text: str) -> LabError:
    with pytest.raises(LabError) as fault:
        commands.check(asked(folder, text))
    assert fault.value.code == 2
    return fault.value


def test_threads_of_a_strangers_service_are_measured_judged_and_reported(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    written(shop, toml(THREADED, "/broken"))  # what lab.toml asks is not what the arm asks
    ran = run(asked(tmp_path, THREADS), tmp_path, environment)
    assert [trial.ended for trial in ran.trials] == ["measured"] * 6
    one = next(trial for trial in ran.trials if trial.arm == "shop threads=4")
    assert one.server is None
    assert one.outside is not None
    assert one.outside.processes == 2  # the master and its worker
    assert one.service["setting"] == "1 worker, 4 threads"
    assert "--threads 4" in one.commands["service"]
    assert len({trial.service["nonce"] for trial in ran.trials}) == 6  # fresh processes each time
    found = judgement.of(ran)
    assert "refuted" not in [one.verdict for one in found.judged]  # nor confirmed, maybe: the machine may be crowded
    by_arm = {trial.arm: quantities.read("throughput_rps", trial) or 0 for trial in ran.trials}
    assert by_arm["shop threads=4"] > 2.5 * by_arm["shop threads=1"]
    assert 0 < (quantities.read("cores_used", one) or 0) < 1
    table = markdown(found)
    assert "does not say what it took" in table
    assert "shop/lab.toml (threads 4)" in table
    assert "/orders" in page(found)
    assert f"./lab run ./mine.toml --seed {SEED}" in table


def test_a_mix_and_a_locustfile_are_asked_as_lab_toml_says(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    (shop / "theirs.py").write_text(
        "from locust import HttpUser, task\n\nclass One(HttpUser):\n    @task\n    def order(self):\n"
        '        self.client.get("/orders")\n    wait_time = lambda self: 0.3\n'
    )
    text = FIRST.replace('request = "/orders"\n', "").replace("users = 4", "users = 4\nthink_ms = 20")
    mixed = toml(THREADED, "/orders", "/sum", choices="[choices]\nworkers = [1]\nthreads = [4]\n")
    written(shop, mixed)
    (trial,) = run(asked(tmp_path, text), tmp_path, environment).trials
    assert trial.ended == "measured"
    assert trial.client is not None
    assert trial.client.counted > 10
    users = mixed.partition("[[requests]]")[0].replace("[choices]", 'locustfile = "theirs.py"\n[choices]')
    written(shop, users)
    assert "think_ms does not go with the locustfile" in refused(tmp_path, text).message
    (trial,) = run(asked(tmp_path, text.replace("\nthink_ms = 20", "")), tmp_path, environment).trials
    assert trial.ended == "measured"
    assert trial.verified > 20
    found = {one.rule: one for one in validity.findings(trial, Load(users=4))}
    assert (found["G1"].verdict, found["G3"].verdict) == ("pass", "pass"), found["G3"].says  # their rests are known


def test_a_bystander_is_asked_beside_the_load(shop: Path, tmp_path: Path, environment: Mapping[str, str]) -> None:
    written(shop, toml(THREADED))
    text = FIRST.replace("users = 4", 'users = 4\nvictim = "/"').replace("throughput_rps", "victim_p50_ms")
    (trial,) = run(asked(tmp_path, text), tmp_path, environment).trials
    assert trial.ended == "measured"
    assert trial.client is not None
    assert sum(trial.client.victim_us.values()) > 5
    text = text.replace('victim = "/"', 'victim = "/old"')
    (trial,) = run(asked(tmp_path, text), tmp_path, environment).trials
    assert "GET /old answers 302" in trial.ended


def test_workers_that_only_signals_give_are_there_before_the_load(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    written(shop, toml(GUNICORN, more='scale = "signals"', choices="[choices]\nworkers = [1, 3]\n"))
    (trial,) = run(asked(tmp_path, FIRST.replace("workers = 1", "workers = 3")), tmp_path, environment).trials
    assert trial.outside is not None
    assert trial.outside.processes == 4


def test_a_request_of_lab_toml_keeps_its_login_and_nobody_tells_it(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    login = '[[requests]]\npath = "/account?key=k1"\nheaders = { Authorization = "Bearer secret" }\n'
    written(shop, toml(THREADED).partition("[[requests]]")[0] + login)
    text = FIRST.replace('request = "/orders"\n', "")
    (trial,) = run(asked(tmp_path, text), tmp_path, environment).trials
    assert trial.ended == "measured"
    assert trial.commands["asked"] == "1 x GET /account"
    assert not {"secret", "k1"} & set(re.findall(r"\w+", str(trial)))
    named = FIRST.replace("/orders", "/account?key=k1")
    (trial,) = run(asked(tmp_path, named), tmp_path, environment).trials
    assert trial.ended == "measured"
    at_once = named.replace("users = 4\nseconds = 1", "concurrent = 2").replace("throughput_rps", "last_finish_ms")
    assert "are plain GETs" in refused(tmp_path, at_once).message


def test_a_command_that_does_not_serve_itself_is_not_measured(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    port = free_port()
    service = f'command = "sleep 60"\nurl = "http://127.0.0.1:{port}"'
    written(shop, f'[service]\n{service}\n[[requests]]\npath = "/orders"\n')
    late: list[subprocess.Popen[bytes]] = []

    def serve() -> None:
        words = GUNICORN.replace("{port}", str(port)).split()
        late.append(subprocess.Popen(words, cwd=shop, stderr=subprocess.DEVNULL, start_new_session=True))

    timer = threading.Timer(1.0, serve)
    timer.start()
    try:
        ran = run(asked(tmp_path, FIRST.replace("workers = 1\n", "")), tmp_path, environment)
    finally:
        timer.join()
        late[0].terminate()
        late[0].wait()
    assert "somebody else answers" in ran.trials[0].ended


def test_a_run_does_not_go_on_with_another_lab_toml(shop: Path, tmp_path: Path, environment: Mapping[str, str]) -> None:
    written(shop, toml(THREADED))
    one = asked(tmp_path, FIRST)
    run(one, tmp_path, environment)
    (folder,) = (tmp_path / "results").iterdir()
    written(shop, toml(THREADED, "/sum"))
    with pytest.raises(LabError) as fault:
        run_experiment(one, tmp_path / "results", environment, SEED, lambda step: None, resume=folder, facts={})
    assert (fault.value.code, "not the one that was measured" in fault.value.message) == (2, True)


def test_single_requests_show_which_of_them_waited_for_another(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    written(shop, toml(f"{UVICORN} --workers {{workers}}", "/feed", choices="[choices]\nworkers = [1]\n"))
    text = FIRST.replace("users = 4\nseconds = 1", "concurrent = 4").replace("/orders", "/feed")
    text = text.replace("throughput_rps", "last_finish_ms").replace("at_least = 1", "at_most = 150")
    ran = run(asked(tmp_path, text), tmp_path, environment)
    assert [one.status for one in ran.trials[0].singles] == [200] * 4
    assert "<svg" in page(judgement.of(ran))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/old", "answers 302, a redirect to /orders: name the final address"),
        ("/account", "needs a login: give it what a browser would send"),
        ("/limited", "it has a rate limit of its own"),
        ("/dying", "the service ended"),
        ("/broken", "answers 500"),
    ],
)
def test_what_cannot_be_measured_ends_its_trial_with_the_reason(
    shop: Path, tmp_path: Path, environment: Mapping[str, str], path: str, said: str
) -> None:
    written(shop, toml(THREADED))
    (trial,) = run(asked(tmp_path, FIRST.replace("/orders", path)), tmp_path, environment).trials
    assert trial.ended != "measured"
    assert said in trial.ended


def test_a_compose_service_is_made_anew_for_each_trial_and_has_its_own_setting_back(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    port = free_port()
    written(shop, composed(port, 'environment = { WORKERS = "{workers}" }'))
    with running(shop, port) as pid:
        path = f"{played(tmp_path, pid, 'a1')}{os.pathsep}{environment['PATH']}"
        text = FIRST.replace("repeats = 1", "repeats = 2").replace("workers = 1", "workers = 2")
        ran = run(asked(tmp_path, text), tmp_path, {**environment, "PATH": path})
    assert [trial.ended for trial in ran.trials] == ["measured"] * 2
    up = "compose up --detach --no-deps --wait"
    assert changes(tmp_path) == [f"{up} --force-recreate orders WORKERS=2", f"{up} orders WORKERS="] * 2
    assert ran.trials[0].machine is not None
    assert ran.trials[0].machine.service_cores == ran.trials[0].machine.cores  # the engine's cores are all


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("workers = 1\n", "tokens = 10\n", "tokens"),
        ("workers = 1\n", "pool_size = 10\n", "has no choices.pool_size"),
        ("shop/lab.toml", "shop/other.toml", "other.toml"),
        ('"shop/lab.toml"', '["flask", "shop/lab.toml"]', "lists a service of your own"),
        ("shop/lab.toml", "shop", "the path of the lab.toml"),
        ("throughput_rps", "queue_mean_ms", "tells"),
        ("at_least = 1", 'law = "concurrency_limit"\nwithin = 0.1', "does not know what a request"),
        ('request = "/orders"\nworkers = 1\nusers = 4\nseconds = 1', "workers = 1\nconcurrent = 2", "has no request"),
        ("users = 4", "users = 4\nduet = true", "duet"),
        ("users = 4", 'users = 4\nclient = "sse"', "client"),
    ],
)
def test_what_an_arm_cannot_ask_of_it_is_refused_before_anything_starts(
    shop: Path, tmp_path: Path, old: str, new: str, said: str
) -> None:
    written(shop, toml(THREADED))
    assert old in FIRST
    fault = refused(tmp_path, FIRST.replace(old, new))
    assert said in f"{fault.message}; {fault.remedy}"


def test_cores_of_a_compose_service_are_the_compose_files(shop: Path, tmp_path: Path) -> None:
    written(shop, composed(9000, 'environment = { WORKERS = "{workers}" }'))
    assert "cores" in refused(tmp_path, FIRST.replace("workers = 1", "cores = [1, 2]")).message


def test_a_description_that_cannot_be_read_is_an_error_and_no_traceback(shop: Path, tmp_path: Path) -> None:
    (shop / "lab.toml").symlink_to("lab.toml")
    assert "lab.toml" in refused(tmp_path, FIRST).message
    refused(tmp_path, FIRST.replace("shop/", "s" * 280))
    (shop / "lab.toml").unlink()
    os.mkfifo(shop / "lab.toml")
    assert "is no file" in refused(tmp_path, FIRST).message


def test_a_service_that_runs_already_is_no_arm(shop: Path, tmp_path: Path) -> None:
    written(shop, '[service]\nurl = "http://127.0.0.1:9000"\n[[requests]]\npath = "/"\n')
    fault = refused(tmp_path, FIRST.replace("workers = 1\n", ""))
    assert "runs already" in fault.message
    assert "service.command" in fault.remedy


def test_a_class_with_one_thread_is_not_measured_under_another_name(shop: Path, tmp_path: Path) -> None:
    classes = '[choices]\nworker_class = ["sync", "gthread"]\nthreads = [1, 4]\n'
    command = f"{THREADED.replace('--workers {workers} ', '')} --worker-class {{worker_class}}"
    written(shop, toml(command, choices=classes))
    fault = refused(tmp_path, FIRST.replace("workers = 1", 'worker_class = "sync"\nthreads = 4'))
    assert "has one thread, not 4" in fault.message


def test_load_for_all_arms_may_not_ask_what_a_service_of_ones_own_cannot(shop: Path, tmp_path: Path) -> None:
    written(shop, toml(THREADED))
    for line, said in (("duet = true", "duet"), ('client = "idle"\nvictim = "/orders"', "client")):
        fault = refused(tmp_path, f"[load]\n{line}\n{FIRST}")
        assert f"{said}" in fault.message


def test_a_recorded_run_is_judged_where_lab_toml_is_not(shop: Path, tmp_path: Path) -> None:
    written(shop, toml(THREADED))
    text = asked(tmp_path, FIRST).text
    (shop / "lab.toml").unlink()
    assert experiment.recorded(text, "mine", Path("experiment.toml")).arms[0].is_own
