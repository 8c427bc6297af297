"""External weights: saved for download, links resumable, files encrypted if asked; tokens for single checkpoints."""

import io
import sys
import tarfile
from typing import Any
from urllib.parse import urlsplit

import pytest
from service_bench import Api, Bench

from tinker_local import weights_tokens
from tinker_local.signing import SECRET_FILE, WEIGHTS_TOKENS, derived, kept_secret
from tinker_local.store.paths import CheckpointPath

PLAIN = {"adapter_config.json", "adapter_model.safetensors"}


def saved(api: Api, model_id: str, name: str = "final", seq_id: int = 1, **more: Any) -> Any:
    body = {"model_id": model_id, "seq_id": seq_id, "path": name, **more}
    return api.result(api.ok("save_weights_external", body=body))


def where(path: str) -> dict[str, str]:
    run_id, kind, name = path.removeprefix("tinker://").split("/")
    return {"training_run_id": run_id, "checkpoint_kind": kind, "checkpoint_name": name}


def links(api: Api, path: str) -> dict[str, str]:
    urls: dict[str, str] = api.ok("get_external_weights_urls", path=where(path))["urls"]
    return urls


def test_what_was_saved_can_be_fetched_file_by_file_without_a_key(bench: Bench) -> None:
    api = bench.start(api_keys=("tml-a",))
    api.headers = {"x-api-key": "tml-a"}
    model_id = api.model()
    result = saved(api, model_id)
    folder = bench.data_dir / "checkpoints" / model_id / "external_weights" / "final"
    assert result["path"] == f"tinker://{model_id}/external_weights/final"
    assert result["size_bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    urls = links(api, result["path"])
    assert set(urls) == PLAIN
    for name, url in urls.items():
        assert api.get(url).content == (folder / name).read_bytes()


def test_a_link_ends_and_cannot_be_bent(api: Api, bench: Bench) -> None:
    urls = links(api, saved(api, api.model())["path"])
    url = urls["adapter_config.json"]
    assert api.get(url.replace("adapter_config.json", "adapter_model.safetensors")).status_code == 403
    assert api.get(url.replace("adapter_config.json", "run.json")).status_code == 403
    assert api.get(url.partition("?")[0]).status_code == 403
    assert api.get(url).status_code == 200
    bench.clock.ahead += api.service.settings.url_lifetime_seconds + 1
    assert api.get(url).status_code == 403


def test_links_outlive_a_restart_but_not_the_checkpoint(bench: Bench) -> None:
    api = bench.start()
    path = saved(api, api.model())["path"]
    url = links(api, path)["adapter_config.json"]
    bench.stop(api)
    api = bench.start()
    assert api.get(url).status_code == 200
    api.answer("delete_checkpoint", path=where(path))
    assert api.get(url).status_code == 404


def test_a_file_can_be_fetched_from_where_it_stopped(api: Api) -> None:
    url = links(api, saved(api, api.model())["path"])["adapter_config.json"]
    whole = api.get(url)
    assert whole.headers["accept-ranges"] == "bytes"
    part = api.request("GET", url, headers={"range": "bytes=5-", "if-range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, whole.content[5:])
    assert part.headers["content-range"] == f"bytes 5-{len(whole.content) - 1}/{len(whole.content)}"
    other = api.request("GET", url, headers={"range": "bytes=5-", "if-range": '"another"'})
    assert (other.status_code, other.content) == (200, whole.content)
    assert api.request("GET", url, headers={"range": "bytes=1000000-"}).status_code == 416
    head = api.request("HEAD", url)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(whole.content)))


def test_an_archive_can_be_fetched_from_where_it_stopped(api: Api) -> None:
    path = api.save(api.model(), 1, "a")
    url = api.answer("get_checkpoint_archive", path=where(path)).headers["location"]
    whole = api.get(url)
    size = len(whole.content)
    assert int(whole.headers["content-length"]) == size
    with tarfile.open(fileobj=io.BytesIO(whole.content), mode="r:gz") as tar:
        assert "adapter_model.safetensors" in tar.getnames()
    ranges = {f"bytes=7-{size}": (7, size), "bytes=7-20": (7, 21), "bytes=-5": (size - 5, size), "bytes=0-0": (0, 1)}
    for asked, (first, end) in ranges.items():
        part = api.request("GET", url, headers={"range": asked, "if-range": whole.headers["etag"]})
        assert (part.status_code, part.content) == (206, whole.content[first:end])
        assert part.headers["content-range"] == f"bytes {first}-{end - 1}/{size}"
    for unsuitable in (
        {"range": "bytes=7-", "if-range": '"other"'},
        {"range": "lines=1-2"},
        {"range": "bytes=0-1,3-4"},
    ):
        assert api.request("GET", url, headers=unsuitable).content == whole.content
    for beyond in (f"bytes={size}-", "bytes=9-8", "bytes=-0"):
        refused = api.request("GET", url, headers={"range": beyond})
        assert (refused.status_code, refused.headers["content-range"]) == (416, f"bytes */{size}")
    head = api.request("HEAD", url)
    assert (head.content, head.headers["content-length"]) == (b"", str(size))


def test_encrypted_files_open_for_each_recipient_and_nobody_else(api: Api, bench: Bench) -> None:
    import pyrage

    mine, yours, other = (pyrage.x25519.Identity.generate() for _ in range(3))
    model_id = api.model()
    path = saved(api, model_id, age_encryption_recipients=[str(mine.to_public()), str(yours.to_public())])["path"]
    plain = links(api, saved(api, model_id, "plain", 2)["path"])
    urls = links(api, path)
    assert set(urls) == {f"{name}.age" for name in PLAIN}
    for name in PLAIN:
        sealed = api.get(urls[f"{name}.age"]).content
        for identity in (mine, yours):
            assert pyrage.decrypt(sealed, [identity]) == api.get(plain[name]).content
        with pytest.raises(pyrage.DecryptError):
            pyrage.decrypt(sealed, [other])
    assert not list((bench.data_dir / "checkpoints" / ".staging").iterdir())


def test_ssh_keys_are_recipients_too(api: Api) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN me@here"
    assert saved(api, api.model(), age_encryption_recipients=[key])["path"]


@pytest.mark.parametrize("recipient", ["", "age1xyz", "ssh-dss AAAA", "nobody"])
def test_what_is_no_recipient_is_refused_by_its_place(api: Api, recipient: str) -> None:
    import pyrage

    good = str(pyrage.x25519.Identity.generate().to_public())
    body = {"model_id": api.model(), "seq_id": 1, "path": "a", "age_encryption_recipients": [good, recipient]}
    refusal = api.refused(400, "save_weights_external", body=body)
    assert (refusal["code"], "[1]" in refusal["detail"]) == ("bad_recipient", True)
    assert api.refused(422, "save_weights_external", body={**body, "age_encryption_recipients": []})


def test_without_the_library_the_refusal_names_the_extra(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)
    body = {"model_id": api.model(), "seq_id": 1, "path": "a", "age_encryption_recipients": ["age1x"]}
    refusal = api.refused(400, "save_weights_external", body=body)
    assert (refusal["code"], "tinker-hl[age]" in refusal["detail"]) == ("age_not_installed", True)


def test_external_weights_are_for_download_alone(api: Api) -> None:
    model_id = api.model()
    path = saved(api, model_id)["path"]
    body = {"session_id": api.session(), "model_seq_id": 0, "path": path, "optimizer": False}
    assert api.refused(400, "load_weights", body=body)["code"] == "external_weights"
    body = {"session_id": api.session(), "sampling_session_seq_id": 0, "model_path": path}
    assert api.refused(400, "create_sampling_session", body=body)["code"] == "external_weights"
    refusal = api.refused(400, "get_external_weights_urls", path=where(api.save(model_id, 2, "a")))
    assert refusal["code"] == "not_external"


def test_a_time_to_live_ends_them_and_their_links(api: Api, bench: Bench) -> None:
    model_id = api.model()
    path = saved(api, model_id, ttl_seconds=3600)["path"]
    folder = bench.data_dir / "checkpoints" / model_id / "external_weights" / "final"
    assert folder.is_dir()
    bench.clock.ahead += 3601
    api.run(api.service.sweep())
    assert not folder.exists()
    api.refused(404, "get_external_weights_urls", path=where(path))


def test_old_clients_are_not_told_of_a_kind_that_they_do_not_know(api: Api) -> None:
    model_id = api.model()
    saved(api, model_id)
    kept = api.save(model_id, 2, "a")

    def paths(**headers: str) -> list[list[str]]:
        answers = [
            api.ok("list_checkpoints", headers=headers),
            api.ok("list_training_run_checkpoints", path={"training_run_id": model_id}, headers=headers),
        ]
        return [[checkpoint["tinker_path"] for checkpoint in answer["checkpoints"]] for answer in answers]

    version = "x-stainless-package-version"
    assert paths(**{version: "0.7.0"}) == paths(**{version: "0.25.1"}) == [[kept], [kept]]
    assert [len(found) for found in (*paths(**{version: "0.38.0"}), *paths())] == [2, 2, 2, 2]
    assert api.ok("list_checkpoints", headers={version: "0.7.0"})["cursor"]["total_count"] == 1


def test_a_weights_access_token_opens_one_checkpoint_for_a_while(bench: Bench) -> None:
    api = bench.start(api_keys=("tml-a", "tml-b"))
    api.headers = {"x-api-key": "tml-a"}
    model_id = api.model()
    path, other = api.save(model_id, 1, "a"), api.save(model_id, 2, "b")
    secret = derived(kept_secret(bench.data_dir / SECRET_FILE), WEIGHTS_TOKENS)
    token = weights_tokens.new_token(CheckpointPath.parse(path), bench.clock.wall() + 60, secret)
    api.headers = {"x-api-key": "tml-b"}
    load = {"session_id": api.session(), "model_seq_id": 0, "path": path, "optimizer": False}
    copy = {"source_path": path, "destination_project_id": "mine"}
    api.refused(404, "load_weights", body=load)
    api.refused(404, "load_weights", body={**load, "weights_access_token": token[:-1] + "x"})
    api.refused(404, "load_weights", body={**load, "path": other, "weights_access_token": token})
    api.refused(404, "copy_weights", body=copy)
    header = {"x-tinker-weights-access-token": token}
    assert api.ok("copy_weights", body=copy, headers=header)["tinker_path"] != path
    assert api.result(api.ok("load_weights", body={**load, "weights_access_token": token}))["path"] == path
    bench.clock.ahead += 61
    api.refused(404, "copy_weights", body=copy, headers=header)


@pytest.mark.parametrize("token", ["", "x", "tmlw-", "tmlw-.", "tmlw-e30.aa", "tmlw-ä.b"])
def test_what_is_no_token_permits_nothing(token: str) -> None:
    path = CheckpointPath.parse("tinker://a/weights/b")
    assert not weights_tokens.permits(token, path, b"s" * 32, now=0)


def test_the_secret_is_made_once_and_readable_by_its_owner_only(bench: Bench) -> None:
    bench.data_dir.mkdir()
    first = kept_secret(bench.data_dir / SECRET_FILE)
    assert kept_secret(bench.data_dir / SECRET_FILE) == first
    assert (bench.data_dir / SECRET_FILE).stat().st_mode & 0o077 == 0
    assert [file.name for file in bench.data_dir.iterdir()] == [SECRET_FILE]
    (bench.data_dir / SECRET_FILE).write_bytes(b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        kept_secret(bench.data_dir / SECRET_FILE)


def test_a_link_leads_to_where_the_client_came_from(api: Api) -> None:
    url = links(api, saved(api, api.model())["path"])["adapter_config.json"]
    assert urlsplit(url)[:2] == ("http", "service")
