"""What a W&B server answers to the operations that the client asks for, as far as the client needs it."""

from __future__ import annotations

import base64
import json
from typing import Any

import yaml

Variables = dict[str, Any]


class Operations:
    """The state of a server, and one method an operation, named after it."""

    def __init__(self, entity: str) -> None:
        self.entity = entity
        self.url = ""
        self.runs: dict[str, dict[str, Any]] = {}
        self.sweeps: dict[str, dict[str, Any]] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.deleted: set[str] = set()

    def history(self, run: str) -> list[dict[str, Any]]:
        """The rows that the server has of a run."""
        return [json.loads(line) for line in self.runs[run]["stream"].get("wandb-history.jsonl", [])]

    def summary(self, run: str) -> dict[str, Any]:
        """The summary that the server has of a run."""
        lines = self.runs[run]["stream"].get("wandb-summary.json", [])
        return dict(json.loads(lines[-1])) if lines else {}

    def config(self, run: str) -> dict[str, Any]:
        """The configuration of a run, as people see it."""
        return {key: entry["value"] for key, entry in self.runs[run]["config"].items() if isinstance(entry, dict)}

    def file_stream(self, run: str, body: dict[str, Any]) -> dict[str, Any]:
        known = self.runs.setdefault(run, _new_run(run))
        for name, chunk in (body.get("files") or {}).items():
            lines = known["stream"].setdefault(name, [])
            offset = 0 if name == "wandb-summary.json" else chunk["offset"]
            lines[offset : offset + len(chunk["content"])] = chunk["content"]
        if body.get("complete"):
            known.update(exitcode=body.get("exitcode"), state="failed" if body.get("exitcode") else "finished")
        return {"stopped": True} if known["stop"] else {}

    def viewer(self, v: Variables) -> dict[str, Any]:
        team = {"node": {"name": self.entity}}
        fields = {"id": "VXNlcjox", "entity": self.entity, "username": "u", "email": "u@x", "flags": "{}"}
        return {"viewer": {**fields, "admin": False, "name": "u", "teams": {"edges": [team]}, "apiKeys": {"edges": []}}}

    def server_features_query(self, v: Variables) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def organization_core_weave_organization_id(self, v: Variables) -> dict[str, Any]:
        return {"entity": {"organization": {"coreWeaveOrganizationId": None}}}

    def upsert_bucket(self, v: Variables) -> dict[str, Any]:
        run = v.get("name") or next(name for name, known in self.runs.items() if known["id"] == v.get("id"))
        if run in self.deleted:
            raise DeletedError(run)
        new = run not in self.runs
        known = self.runs.setdefault(run, _new_run(run))
        known["config"].update(json.loads(v.get("config") or "{}"))
        names = ("project", "groupName", "jobType", "displayName", "tags", "sweep", "state")
        known.update({name: v[name] for name in names if v.get(name) is not None})
        return {"upsertBucket": {"bucket": self._bucket(known), "inserted": new}}

    def run_resume_status(self, v: Variables) -> dict[str, Any]:
        model = {"id": "m", "name": v["project"], "entity": {"id": "e", "name": self.entity}}
        known = self.runs.get(v["name"])
        if known is None:
            return {"model": {**model, "bucket": None}}
        stream = known["stream"]

        def tail(name: str) -> str:
            return json.dumps(stream.get(name, [])[-1:])

        status = {
            "id": known["id"],
            "name": known["name"],
            "displayName": known.get("displayName"),
            "summaryMetrics": json.dumps(self.summary(known["name"])),
            "logLineCount": len(stream.get("output.log", [])),
            "historyLineCount": len(stream.get("wandb-history.jsonl", [])),
            "eventsLineCount": len(stream.get("wandb-events.jsonl", [])),
            "historyTail": tail("wandb-history.jsonl"),
            "eventsTail": tail("wandb-events.jsonl"),
            "config": json.dumps(known["config"]),
            "tags": known.get("tags") or [],
            "wandbConfig": json.dumps({"t": 1}),
            "createdAt": "2026-01-01T00:00:00Z",
        }
        return {"model": {**model, "bucket": status}}

    def create_run_files(self, v: Variables) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/storage/{v['run']}/{name}"} for name in v["files"]]
        return {"createRunFiles": {"runID": v["run"], "uploadHeaders": [], "files": files}}

    def upsert_sweep(self, v: Variables) -> dict[str, Any]:
        sweep = f"swp{len(self.sweeps):05d}"
        self.sweeps[sweep] = {"config": yaml.safe_load(v["config"]), "prior": v.get("priorRunsFilters")}
        return {
            "upsertSweep": {
                "sweep": {"name": sweep, "project": self._project(v.get("projectName"))},
                "configValidationWarnings": [],
            }
        }

    def upsert_view(self, v: Variables) -> dict[str, Any]:
        inserted = v.get("id") not in self.views
        identifier = base64.b64encode(v["name"].encode()).decode() if inserted else v["id"]
        self.views[identifier] = {**v, "spec": json.loads(v["spec"])}
        view = {
            "id": identifier,
            "name": v["name"],
            "type": v.get("type"),
            "displayName": v.get("displayName"),
            "description": v.get("description"),
            "spec": v["spec"],
            "project": {"id": "p", "name": v.get("projectName"), "entityName": self.entity},
            "createdAt": None,
            "updatedAt": None,
            "user": {"username": "u", "id": "x"},
        }
        return {"upsertView": {"view": view, "inserted": inserted}}

    upsert_view2 = upsert_view

    def project_internal_id(self, v: Variables) -> dict[str, Any]:
        return {"project": {"id": "UHJvamVjdA==", "internalId": "UHJvamVjdEludGVybmFsSWQ6MQ=="}}

    def get_projects(self, v: Variables) -> dict[str, Any]:
        names = sorted({known["project"] for known in self.runs.values()})
        fields = {"__typename": "Project", "id": "UHJvamVjdA==", "entityName": self.entity, "user": None}
        edges = [
            {"node": {**fields, "name": name, "createdAt": "2026-01-01T00:00:00", "isBenchmark": False}}
            for name in names
        ]
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        return {"models": {"pageInfo": page, "edges": edges}}

    def _project(self, name: str | None) -> dict[str, Any]:
        return {"id": "UHJvamVjdDox", "name": name, "entity": {"id": "RW50aXR5OjE=", "name": self.entity}}

    def _bucket(self, known: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": known["id"],
            "name": known["name"],
            "displayName": known.get("displayName") or known["name"],
            "description": None,
            "config": json.dumps(known["config"]),
            "sweepName": known.get("sweep"),
            "project": self._project(known.get("project")),
            "historyLineCount": len(known["stream"].get("wandb-history.jsonl", [])),
        }


class DeletedError(Exception):
    """A run of that id was deleted: the id is never free again."""


def _new_run(name: str) -> dict[str, Any]:
    identifier = base64.b64encode(name.encode()).decode()
    return {"id": identifier, "name": name, "config": {}, "stream": {}, "state": "running", "stop": False}
