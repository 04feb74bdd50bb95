"""Names that W&B does not take."""

from __future__ import annotations

import pytest

from sweep.mirror.mode import MirrorOptions, decide, refuse_bad_place
from sweep.mirror.run_link import read_study_link
from sweep.mirror.settings import refuse_bad_names
from tests.sweep.mirror.wandb_server import WandbServer
from trainables.errors import UserError
from trainables.store.study import Study

BAD = ["a/b", "a\\b", "a#b", "a?b", "100%", "a:b", "x" * 129]


@pytest.mark.parametrize("name", [*BAD, "", " ", " a", "a\nb", "\x1b[31m"])
def test_such_a_name_is_refused(name: str) -> None:
    for names in ((name, None), ("project", name)):
        with pytest.raises(UserError) as refused:
            refuse_bad_names(*names)
        assert ascii(name) in str(refused.value)
        assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize("name", BAD)
def test_the_client_refuses_them_too(name: str) -> None:
    import wandb
    from wandb.errors import UsageError

    with pytest.raises(UsageError):
        wandb.Settings(project=name)


@pytest.mark.parametrize("name", ["scenario-sweep", "a b", "Zellen é", "x" * 128, "a.b_c"])
def test_others_are_taken_by_both(name: str) -> None:
    import wandb

    refuse_bad_names(name, name)
    assert wandb.Settings(project=name).project == name


@pytest.mark.parametrize("wanted", ["auto", "online", "offline"])
def test_a_run_is_refused_before_anything_is_written(
    wanted: str, study: Study, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with pytest.raises(UserError, match="project"):
        decide(MirrorOptions(wanted, project="my/project"), study, said.append)  # type: ignore[arg-type]
    monkeypatch.setenv("WANDB_PROJECT", "my#project")
    with pytest.raises(UserError, match="WANDB_PROJECT"):
        decide(MirrorOptions(wanted), study, said.append)  # type: ignore[arg-type]
    assert read_study_link(study.storage) == {}
    assert not server.sweeps


def test_a_variable_is_refused_early_only_where_wandb_is_asked_for(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_ENTITY", "my/team")
    for wanted in ("online", "offline"):
        with pytest.raises(UserError, match="WANDB_ENTITY"):
            refuse_bad_place(MirrorOptions(wanted), study)
        refuse_bad_place(MirrorOptions(wanted, entity="team"), study)
    for wanted in ("auto", "off"):
        refuse_bad_place(MirrorOptions(wanted), study)  # type: ignore[arg-type]
