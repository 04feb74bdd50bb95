"""Check the AWS part of a cluster file against the schema of EC2's API, without contacting AWS."""

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
SPOT_COMMAND = "sweep.cluster spot"
EVERYONE = ("0.0.0.0/0", "::/0")


def errors(file: ClusterFile) -> Iterator[str]:
    """Yield an error for what EC2 would refuse, and for what Ray would fill in with too many permissions."""
    yield from _provider(file)
    yield from _ssh(file)
    for name, kind in file.node_types:
        yield from _node(file, name, kind)


def _provider(file: ClusterFile) -> Iterator[str]:
    provider = file.section("provider")
    for key in provider.keys() - PROVIDER_KEYS:
        yield file.error(f"unknown key provider.{key}{suggestion(key, PROVIDER_KEYS)}", "provider", key)
    regions = _regions()
    region = provider.get("region")
    if not region:
        yield file.error("provider.region is missing, e.g. us-west-2", "provider")
    elif region not in regions:
        yield file.error(f"no region {region}{suggestion(str(region), regions)}", "provider", "region")
    else:
        for zone in str(provider.get("availability_zone", f"{region}a")).split(","):
            if not zone.strip().startswith(str(region)):
                yield file.error(f"the zone {zone.strip()} is not in {region}", "provider", "availability_zone")


def _ssh(file: ClusterFile) -> Iterator[str]:
    group = file.section("provider").get("security_group") or {}
    own = all("SecurityGroupIds" in (kind.get("node_config") or {}) for _, kind in file.node_types)
    if not own and not group.get("GroupName"):
        yield file.error(
            "no security group of your own: Ray would create one with ssh open to the world. clusters/aws/account.yaml creates one; "
            "name it in provider.security_group.GroupName",
            "provider",
        )
    for rule in group.get("IpPermissions") or []:
        ranges = [
            r.get("CidrIp") or r.get("CidrIpv6") for r in [*rule.get("IpRanges", []), *rule.get("Ipv6Ranges", [])]
        ]
        if set(ranges) & set(EVERYONE):
            yield file.error("the security group is open to the whole world (0.0.0.0/0)", "provider", "security_group")


def _node(file: ClusterFile, name: str, kind: Mapping[str, Any]) -> Iterator[str]:
    config = kind.get("node_config")
    if not isinstance(config, dict):
        return  # Ray's schema says so
    place = ("available_node_types", name, "node_config")
    for text in _request_errors(config):
        yield file.error(f"{name}: {text}", *place, text.split(":")[0].split(".")[0])
    for key, why in (
        ("InstanceType", "the type of machine"),
        ("ImageId", "Ray's default is an image of 2022"),
        ("IamInstanceProfile", "Ray would create one with all permissions on EC2 and S3"),
    ):
        if key not in config:
            yield file.error(f"{name}: {key} is missing: {why}", *place)
    image = str(config.get("ImageId", "resolve:ssm:/"))
    if not IMAGE.fullmatch(image) and "ImageId" in config:
        yield file.error(f"{name}: ImageId {image} is not an image: ami-… or resolve:ssm:/…", *place, "ImageId")
    if name == file.head_type and _is_spot(config):
        yield file.error(
            f"{name}: if a spot head is taken away, the study ends with it: use on demand",
            *place,
            "InstanceMarketOptions",
        )
    elif _is_spot(config) and SPOT_COMMAND not in file.commands("worker_start_ray_commands"):
        yield file.error(
            f"{name}: nothing waits for the notice that a spot node will be taken away: add `python -m {SPOT_COMMAND}`, as cluster.yaml does",
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


def _request_errors(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error for unknown keys, wrong types and values outside of a list in a request for a node."""
    from botocore.validate import ParamValidator

    shape = _request_shape()
    request = {**config, "MinCount": 1, "MaxCount": 1}
    request.pop("SubnetIds", None)  # Ray's own key: it picks one of them for each node
    for line in ParamValidator().validate(request, shape).generate_report().splitlines():
        unknown = re.match(r'Unknown parameter in (\w+): "(\w+)", must be one of: (.*)', line)
        yield f"{unknown[2]}: unknown{suggestion(unknown[2], unknown[3].split(', '))}" if unknown else line
    yield from _values(request, shape, "")


def _values(value: Any, shape: Any, name: str) -> Iterator[str]:
    """Yield an error for values that are not among those of the schema. Botocore's own validation accepts them."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for key in value.keys() & shape.members.keys():
            yield from _values(value[key], shape.members[key], f"{name}.{key}".lstrip("."))
    elif shape.type_name == "list" and isinstance(value, list):
        for item in value:
            yield from _values(item, shape.member, name)
    elif getattr(shape, "enum", None) and isinstance(value, str) and value not in shape.enum:
        yield f"{name}: no {value}{suggestion(value, shape.enum)}"


def _resources(file: ClusterFile, name: str, kind: Mapping[str, Any], machine: str) -> Iterator[str]:
    known, declared = instance(machine), kind.get("resources")
    if known is None or not isinstance(declared, dict):
        return
    for what, has in (("CPU", known.cpus), ("GPU", known.gpus)):
        if declared.get(what, 0) > has:
            yield file.error(
                f"{name}: resources say {what}: {declared[what]}, a {machine} has {has}",
                "available_node_types", name, "resources",
            )  # fmt: skip
