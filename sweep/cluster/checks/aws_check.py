"""Whether AWS would take what a cluster file asks for: against EC2's own request shape, without asking AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from sweep.cluster.config.cluster_file import ClusterFile
from sweep.cluster.config.instance_types import instance
from trainables.errors import suggestion

PROVIDER_KEYS = {
    "type", "region", "availability_zone", "cache_stopped_nodes", "security_group", "use_internal_ips",
    "aws_credentials", "key_pair", "cloudwatch", "disable_node_updaters", "disable_launch_config_check",
}  # fmt: skip
IMAGE = re.compile(r"ami-[0-9a-f]{8,17}|resolve:ssm:/\S+")
WATCHER = "sweep.cluster spot"
WORLD = ("0.0.0.0/0", "::/0")


def faults(file: ClusterFile) -> Iterator[str]:
    """Tell what EC2 would refuse, or what Ray would fill in with too many rights."""
    yield from _provider(file)
    yield from _ssh(file)
    for name, kind in file.node_types:
        yield from _node(file, name, kind)


def _provider(file: ClusterFile) -> Iterator[str]:
    provider = file.section("provider")
    for key in provider.keys() - PROVIDER_KEYS:
        yield file.fault(f"unknown key provider.{key}{suggestion(key, PROVIDER_KEYS)}", "provider", key)
    regions = _regions()
    region = provider.get("region")
    if not region:
        yield file.fault("provider.region is missing, e.g. us-west-2", "provider")
    elif region not in regions:
        yield file.fault(f"no region {region}{suggestion(str(region), regions)}", "provider", "region")
    else:
        for zone in str(provider.get("availability_zone", f"{region}a")).split(","):
            if not zone.strip().startswith(str(region)):
                yield file.fault(f"the zone {zone.strip()} is not in {region}", "provider", "availability_zone")


def _ssh(file: ClusterFile) -> Iterator[str]:
    group = file.section("provider").get("security_group") or {}
    own = all("SecurityGroupIds" in (kind.get("node_config") or {}) for _, kind in file.node_types)
    if not own and not group.get("GroupName"):
        yield file.fault(
            "no firewall of your own: Ray would make one with ssh open to the world. clusters/aws/account.yaml makes one; "
            "name it in provider.security_group.GroupName",
            "provider",
        )
    for rule in group.get("IpPermissions") or []:
        ranges = [
            r.get("CidrIp") or r.get("CidrIpv6") for r in [*rule.get("IpRanges", []), *rule.get("Ipv6Ranges", [])]
        ]
        if set(ranges) & set(WORLD):
            yield file.fault("the firewall lets the whole world in (0.0.0.0/0)", "provider", "security_group")


def _node(file: ClusterFile, name: str, kind: Mapping[str, Any]) -> Iterator[str]:
    config = kind.get("node_config")
    if not isinstance(config, dict):
        return  # Ray's schema says so
    place = ("available_node_types", name, "node_config")
    for text in _request_faults(config):
        yield file.fault(f"{name}: {text}", *place, text.split(":")[0].split(".")[0])
    for key, why in (
        ("InstanceType", "the kind of machine"),
        ("ImageId", "Ray's own default is an image of 2022"),
        ("IamInstanceProfile", "Ray would make one that may do anything with EC2 and S3"),
    ):
        if key not in config:
            yield file.fault(f"{name}: {key} is missing: {why}", *place)
    image = str(config.get("ImageId", "resolve:ssm:/"))
    if not IMAGE.fullmatch(image) and "ImageId" in config:
        yield file.fault(f"{name}: ImageId {image} is no image: ami-… or resolve:ssm:/…", *place, "ImageId")
    if name == file.head_type and _is_spot(config):
        yield file.fault(f"{name}: a head on spot takes the study with it: on demand", *place, "InstanceMarketOptions")
    elif _is_spot(config) and WATCHER not in file.commands("worker_start_ray_commands"):
        yield file.fault(
            f"{name}: nobody waits for the notice that a spot node is taken: add `python -m {WATCHER}`, as cluster.yaml does",
            "worker_start_ray_commands",
        )
    yield from _resources(file, name, kind, str(config.get("InstanceType", "")))


def _is_spot(config: Mapping[str, Any]) -> bool:
    return (config.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"


@cache
def _request_shape() -> Any:
    import botocore.session

    return botocore.session.Session().get_service_model("ec2").operation_model("RunInstances").input_shape


@cache
def _regions() -> frozenset[str]:
    import botocore.session

    session = botocore.session.Session()
    return frozenset(
        r for part in session.get_available_partitions() for r in session.get_available_regions("ec2", part)
    )


def _request_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Tell what is wrong with a request for a node: unknown keys, types, values outside of a list."""
    from botocore.validate import ParamValidator

    shape = _request_shape()
    request = {**config, "MinCount": 1, "MaxCount": 1}
    request.pop("SubnetIds", None)  # Ray's own: it takes one of them for each node
    for line in ParamValidator().validate(request, shape).generate_report().splitlines():
        unknown = re.match(r'Unknown parameter in (\w+): "(\w+)", must be one of: (.*)', line)
        yield f"{unknown[2]}: unknown{suggestion(unknown[2], unknown[3].split(', '))}" if unknown else line
    yield from _values(request, shape, "")


def _values(value: Any, shape: Any, name: str) -> Iterator[str]:
    """Tell which values are not among those that the shape lists. Botocore's own validation lets them pass."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for key in value.keys() & shape.members.keys():
            yield from _values(value[key], shape.members[key], f"{name}.{key}".lstrip("."))
    elif shape.type_name == "list" and isinstance(value, list):
        for item in value:
            yield from _values(item, shape.member, name)
    elif getattr(shape, "enum", None) and isinstance(value, str) and value not in shape.enum:
        yield f"{name}: no {value}{suggestion(value, shape.enum)}"


def _resources(file: ClusterFile, name: str, kind: Mapping[str, Any], machine: str) -> Iterator[str]:
    known, said = instance(machine), kind.get("resources")
    if known is None or not isinstance(said, dict):
        return
    for what, has in (("CPU", known.cpus), ("GPU", known.gpus)):
        if said.get(what, 0) > has:
            yield file.fault(
                f"{name}: resources say {what}: {said[what]}, a {machine} has {has}",
                "available_node_types", name, "resources",
            )  # fmt: skip
