"""Ray's own launcher takes cluster.yaml: against a double of EC2, IAM and S3 in this process."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("moto")

ROOT = Path(__file__).parents[3]


@pytest.fixture
def account(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An account of AWS with what clusters/aws/account.yaml makes."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    import boto3
    from moto import mock_aws

    with mock_aws():
        boto3.client("cloudformation").create_stack(
            StackName="scenario-sweep",
            TemplateBody=(ROOT / "clusters/aws/account.yaml").read_text(),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[
                {"ParameterKey": "Ssh", "ParameterValue": "203.0.113.7/32"},
                {"ParameterKey": "Bucket", "ParameterValue": "studies-of-a-test"},
            ],
        )
        yield boto3


def bootstrapped(boto3: Any) -> dict[str, Any]:
    from ray.autoscaler._private.commands import _bootstrap_config

    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    image = boto3.client("ec2").register_image(Name="image", RootDeviceName="/dev/sda1")["ImageId"]
    for kind in config["available_node_types"].values():
        kind["node_config"]["ImageId"] = image  # the double resolves no parameters
    return dict(_bootstrap_config(copy.deepcopy(config), no_config_cache=True))


def test_the_launcher_starts_a_head_and_a_worker_on_spot(account: Any) -> None:
    from ray.autoscaler._private.providers import _get_node_provider

    config = bootstrapped(account)
    provider = _get_node_provider(config["provider"], config["cluster_name"])
    for kind, role in (("head", "head"), ("gpu_worker", "worker")):
        tags = {"ray-node-type": role, "ray-user-node-type": kind, "ray-node-name": kind, "ray-launch-config": "x"}
        provider.create_node(config["available_node_types"][kind]["node_config"], tags, 1)
    started = [i for r in account.client("ec2").describe_instances()["Reservations"] for i in r["Instances"]]
    by_kind = {next(t["Value"] for t in i["Tags"] if t["Key"] == "ray-node-type"): i for i in started}
    assert by_kind["head"]["InstanceType"] == "m7i.xlarge"
    assert by_kind["head"].get("InstanceLifecycle") != "spot"
    assert by_kind["worker"]["InstanceType"] == "g5.xlarge"
    assert by_kind["worker"]["InstanceLifecycle"] == "spot"
    profiles = {kind: i["IamInstanceProfile"]["Arn"].rpartition("/")[2] for kind, i in by_kind.items()}
    assert profiles == {"head": "scenario-sweep-head", "worker": "scenario-sweep-worker"}
    assert {g["GroupName"] for i in started for g in i["SecurityGroups"]} == {"scenario-sweep"}
    provider.terminate_nodes(provider.non_terminated_nodes({}))
    assert provider.non_terminated_nodes({}) == []


def test_the_launcher_opens_the_firewall_to_nobody(account: Any) -> None:
    bootstrapped(account)
    groups = account.client("ec2").describe_security_groups(GroupNames=["scenario-sweep"])["SecurityGroups"]
    ranges = [r["CidrIp"] for g in groups for p in g["IpPermissions"] for r in p["IpRanges"]]
    assert ranges == ["203.0.113.7/32"]


def test_the_launcher_makes_no_role_of_its_own(account: Any) -> None:
    bootstrapped(account)
    roles = {role["RoleName"] for role in account.client("iam").list_roles()["Roles"]}
    assert roles == {"scenario-sweep-head", "scenario-sweep-worker"}


def test_a_worker_may_use_the_bucket_and_nothing_else(account: Any) -> None:
    iam = account.client("iam")
    attached = iam.list_attached_role_policies(RoleName="scenario-sweep-worker")["AttachedPolicies"]
    assert len(attached) == 1
    policy = iam.get_policy(PolicyArn=attached[0]["PolicyArn"])["Policy"]
    document = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
    statements = document["PolicyVersion"]["Document"]["Statement"]
    actions = [action for statement in statements for action in statement["Action"]]
    assert actions
    assert all(action.startswith("s3:") and "*" not in action for action in actions)
    assert {s["Resource"] for s in statements} == {"arn:aws:s3:::studies-of-a-test", "arn:aws:s3:::studies-of-a-test/*"}
