"""What each container really is, asked inside where there is a shell to ask with, and of the engine."""

import pytest

from tests.containers.conftest import Lab

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

NO_SHELL = {"tempo"}  # its image holds one program
RUNNING = (
    "postgres",
    "upstream",
    "host",
    "flask",
    "fastapi",
    "django-wsgi",
    "django-asgi",
    "edge",
    "locust",
    "locust-worker",
    "prometheus",
    "grafana",
)
NO_CAPABILITY = "0" * 16

# The main process' own state, and what comes of writing where a program has no business to.
LOOK = """
cat /proc/1/status
for folder in / /etc /usr /lab /var /opt /home /root /sys /proc/sys/kernel; do
  [ ! -d "$folder" ] || (echo x >"$folder/written") 2>/dev/null && [ -e "$folder/written" ] && echo "Written: $folder"
done
true
"""


def state(text: str) -> dict[str, str]:
    """/proc/PID/status: field -> value."""
    return {field: value.strip() for field, _, value in (line.partition(":") for line in text.splitlines())}


def check_inside(text: str) -> None:
    found = state(text)
    assert "0" not in found["Uid"].split(), found["Uid"]
    assert "0" not in found["Groups"].split(), found["Groups"]
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert found[kind] == NO_CAPABILITY, (kind, found[kind])
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2"
    assert "Written" not in found, found["Written"]


@pytest.mark.parametrize("service", RUNNING)
def test_inside_it_is_nobody_and_can_do_nothing(lab: Lab, service: str) -> None:
    if not lab.ids(service):
        pytest.skip(f"{service} is left out (no image, and none can be fetched): not checked what it is inside")
    check_inside(lab.docker("exec", lab.ids(service)[0], "sh", "-c", LOOK))


def test_inside_the_container_of_the_verbs(lab: Lab) -> None:
    check_inside(
        lab.compose("--progress", "quiet", "run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "lab", "-c", LOOK)
    )


def test_the_engine_holds_every_container_to_it(lab: Lab) -> None:
    """Those too that have ended, or have no shell."""
    everyone = lab.ids(every=True)
    assert everyone
    for container in everyone:
        found = lab.inspect(container)
        name, host = found["Name"], found["HostConfig"]
        assert found["Config"]["User"].split(":")[0] not in ("", "0", "root"), name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert not host["CapAdd"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert not any("unconfined" in one for one in host["SecurityOpt"]), name
        assert not host["Privileged"], name
        assert not host["PublishAllPorts"], name
        assert host["PidMode"] == "" and host["IpcMode"] in ("", "private", "shareable"), name
        assert host["Memory"] > 0 and host["NanoCpus"] > 0 and host["PidsLimit"] > 0, name
        assert host["RestartPolicy"]["Name"] in ("", "no"), name
        assert host["LogConfig"]["Config"]["max-size"], name
        writable = {mount["Destination"] for mount in found["Mounts"] if mount["RW"]}
        assert writable <= {"/targets", "/run/lab", "/prometheus", "/var/tmp", "/var/lib/postgresql"}, (name, writable)


def test_the_secrets_are_written_by_setup_alone(lab: Lab) -> None:
    for container in lab.ids():
        for mount in lab.inspect(container)["Mounts"]:
            assert mount["Destination"] != "/run/lab" or not mount["RW"], lab.inspect(container)["Name"]


def test_no_password_is_shown_by_the_engine(lab: Lab) -> None:
    password = lab.docker("exec", lab.ids("flask")[0], "cat", "/run/lab/pgpass").strip().rpartition(":")[2]
    secret = lab.docker("exec", lab.ids("locust")[0], "cat", "/run/lab/locust-secret").strip()
    assert len(password) >= 16 and len(secret) >= 16
    shown = lab.docker("inspect", *lab.ids(every=True))
    assert password not in shown
    assert secret not in shown


def test_the_limit_of_processes_holds(lab: Lab) -> None:
    """In a container of its own with the edge's limit: what it does there harms no other."""
    limit = lab.inspect(lab.ids("edge")[0])["HostConfig"]["PidsLimit"]
    image = lab.inspect(lab.ids("edge")[0])["Config"]["Image"]
    code = "for i in $(seq 100); do sleep 5 & done 2>&1; wait"
    done = lab.run(
        "docker",
        "run",
        "--rm",
        "--pids-limit",
        str(limit),
        "--network",
        "none",
        "--entrypoint",
        "sh",
        image,
        "-c",
        code,
    )
    assert "fork" in (done.stdout + done.stderr).lower()
