"""The cluster files of the project are sound, and each of many mistakes in them is found and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.cluster.checks.all_checks import errors
from sweep.cluster.cli import main
from sweep.cluster.config.cluster_file import ClusterFile, read
from sweep.cluster.config.instance_types import hourly_price
from sweep.engine.auth_token import make_token

Change = Callable[[dict[str, Any]], object]
Changed = Callable[[str, Change], ClusterFile]
AWS, SSH = "cluster.yaml", "clusters/ssh.yaml"


def own_machines(v: dict[str, Any]) -> None:
    v["provider"] |= {"head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2", "10.0.0.3"]}


def node(name: str, **what: Any) -> Change:
    return lambda v: v["available_node_types"][name]["node_config"].update(what)


def no_node(name: str, key: str) -> Change:
    return lambda v: v["available_node_types"][name]["node_config"].pop(key)


def command(name: str, old: str, new: str) -> Change:
    def change(v: dict[str, Any]) -> None:
        assert any(old in line for line in v[name])
        v[name] = [line.replace(old, new) for line in v[name]]

    return change


def test_the_file_for_aws_is_sound(home: Path) -> None:
    assert errors(read(AWS)) == []


def test_the_file_for_own_machines_wants_only_their_addresses(changed: Changed, home: Path) -> None:
    found = errors(read(SSH))
    assert len(found) == 1
    assert "clusters/ssh.yaml:12: provider: 192.0.2.* are example addresses" in found[0]
    assert errors(changed(SSH, own_machines)) == []


PLANTED: list[tuple[Change, str]] = [
    (lambda v: v.update(idle_timeout_minuts=5), "unknown key idle_timeout_minuts; did you mean idle_timeout_minutes"),
    (lambda v: v.update(max_workers="eight"), "max_workers: 'eight' is not of type 'integer'"),
    (lambda v: v.update(head_node_type="haed"), "`head_node_type` must be one of"),
    (lambda v: v["provider"].pop("region"), "provider.region is missing"),
    (lambda v: v["provider"].update(region="us-west-9"), "no region us-west-9; did you mean us-west"),
    (lambda v: v["provider"].update(regoin="us-west-2"), "unknown key provider.regoin; did you mean region"),
    (lambda v: v["provider"].update(availability_zone="eu-west-1a"), "the zone eu-west-1a is not in us-west-2"),
    (lambda v: v["provider"].pop("security_group"), "ssh open to the world"),
    (
        lambda v: v["provider"]["security_group"].update(
            IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ),
        "is open to the whole world",
    ),
    (lambda v: v["auth"].pop("ssh_user"), "auth.ssh_user is missing"),
    (lambda v: v["auth"].update(ssh_private_key="~/.ssh/absent"), "no private key at"),
    (lambda v: v["file_mounts"].update({"~/more": "./no-such-folder"}), "./no-such-folder does not exist"),
    (lambda v: v["file_mounts"].update({"~/scenario-sweep": "docs"}), "is not the project"),
    (lambda v: v["file_mounts"].pop("~/.ray/auth_token"), "no token reaches the nodes"),
    (lambda v: v.update(initialization_commands=[]), "authentication is not on"),
    (
        command("worker_start_ray_commands", "ray start", "RAY_AUTH_MODE=disabled ray start"),
        "turn authentication off",
    ),
    (command("head_start_ray_commands", "127.0.0.1", "[::]"), "the dashboard listens on"),
    (command("head_start_ray_commands", "--autoscaling-config=~/ray_bootstrap_config.yaml", ""), "starts no workers"),
    (command("worker_start_ray_commands", "$RAY_HEAD_IP:6379", "10.0.0.1:6379"), "`ray start` lacks --address="),
    (lambda v: v.pop("worker_start_ray_commands"), "worker_start_ray_commands do not start Ray"),
    (node("gpu_worker", InstanceType="g5.xlage"), "InstanceType: no g5.xlage; did you mean g5.xlarge"),
    (node("gpu_worker", InstanceMarketOptions={"MarketTyp": "spot"}), "MarketTyp: unknown; did you mean MarketType"),
    (node("gpu_worker", InstanceMarketOptions={"MarketType": "spto"}), "no spto; did you mean spot"),
    (node("gpu_worker", BlockDeviceMappings=[{"DeviceName": 3}]), "Invalid type for parameter BlockDeviceMappings"),
    (command("worker_start_ray_commands", "sweep.cluster spot", "sweep.cluster doctor"), "nothing waits for the notice"),
    (node("head", InstanceMarketOptions={"MarketType": "spot"}), "if a spot head is taken away, the study ends with it"),
    (node("head", ImageId="ubuntu-22.04"), "ImageId ubuntu-22.04 is not an image"),
    (no_node("head", "ImageId"), "ImageId is missing"),
    (no_node("gpu_worker", "IamInstanceProfile"), "all permissions on EC2 and S3"),
    (
        lambda v: v["available_node_types"]["gpu_worker"].update(resources={"CPU": 4, "GPU": 4}),
        "resources say GPU: 4, a g5.xlarge has 1",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), PLANTED, ids=[said[:40] for _, said in PLANTED])
def test_a_planted_mistake_is_found(changed: Changed, change: Change, said: str) -> None:
    found = errors(changed(AWS, change))
    assert any(said.replace("authentication is not on", "authentication is not on") in f for f in found)
    assert all(":" in f and "changed.yaml" in f for f in found)
    assert len(found) <= 3  # the mistake, not a flood


LOCAL: list[tuple[Change, str]] = [
    (command("head_start_ray_commands", "RAY_enable_autoscaler_v2=0", ""), "starts one worker too few"),
    (lambda v: v.update(min_workers=1), "min_workers is 1, but there are 2 worker_ips"),
    (lambda v: v["provider"].update(worker_ips=["10.0.0.2", "10.0.0.1"]), "an address is given twice"),
    (lambda v: v["auth"].pop("ssh_private_key"), "the head starts the workers with it"),
    (lambda v: v["provider"].pop("head_ip"), "head_ip and worker_ips are needed"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), LOCAL, ids=[said[:40] for _, said in LOCAL])
def test_a_planted_mistake_is_found_on_own_machines(changed: Changed, change: Change, said: str) -> None:
    def both(v: dict[str, Any]) -> None:
        own_machines(v)
        change(v)

    assert any(said in error for error in errors(changed(SSH, both)))


def test_several_mistakes_are_told_at_once_with_their_lines(home: Path, tmp_path: Path) -> None:
    text = Path(AWS).read_text()
    for old, new in (("ssh_user:", "ssh_usr:"), ("g5.xlarge ", "g5.xxlarge "), ("region: us", "regin: us")):
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    found = errors(read(file))
    line_of = {
        word: next(i for i, line in enumerate(text.splitlines(), 1) if word in line) for word in ("g5.xx", "regin")
    }
    assert any(f"cluster.yaml:{line_of['g5.xx']}: gpu_worker: InstanceType: no g5.xxlarge" in f for f in found)
    assert any(f"cluster.yaml:{line_of['regin']}: unknown key provider.regin" in f for f in found)
    assert any("ssh_usr" in f for f in found)


def test_an_unsafe_token_or_key_is_named(home: Path) -> None:
    (home / ".ray/auth_token").chmod(0o644)
    assert any("can be read by others (mode 0644)" in f for f in errors(read(AWS)))
    make_token()
    assert errors(read(AWS)) == []
    (home / ".ray/auth_token").write_text("short")
    assert any("is not a token of 32 characters" in f for f in errors(read(AWS)))
    (home / ".ray/auth_token").unlink()
    assert any("no token at" in f for f in errors(read(AWS)))
    (home / ".ssh/id_ed25519").chmod(0o640)
    assert any("private key" in f and "chmod 600" in f for f in errors(read(SSH)))


def test_a_new_token_is_its_owners_alone(tmp_path: Path) -> None:
    file = make_token(tmp_path / "a" / "token")
    assert file.stat().st_mode & 0o777 == 0o600
    content = file.read_text()
    assert len(content) == 64
    assert make_token(file).read_text() == content  # one that is there stays


def test_the_price_of_an_hour_is_that_of_the_machines(changed: Changed, home: Path) -> None:
    price = hourly_price(read(AWS))
    assert (round(price.least, 3), round(price.most, 3)) == (0.202, 0.202 + 8 * 1.006)
    assert hourly_price(changed(AWS, node("gpu_worker", InstanceType="p5.48xlarge"))).unknown == ("p5.48xlarge",)


def test_the_storage_is_written_to(home: Path, tmp_path: Path) -> None:
    assert errors(read(AWS), str(tmp_path / "studies")) == []
    assert list((tmp_path / "studies").iterdir()) == []
    (tmp_path / "file").touch()
    assert any("cannot write to the storage" in f for f in errors(read(AWS), str(tmp_path / "file" / "studies")))


def test_the_command_says_it_and_its_status_tells(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", AWS]) == 0
    assert "an hour costs 0.20 $ at least and 8.25 $ at most" in " ".join(capsys.readouterr().out.split())
    assert main(["check", SSH]) == 1
    assert main(["check", "absent.yaml"]) == 2
    assert "cannot read the cluster file absent.yaml" in " ".join(capsys.readouterr().err.split())
