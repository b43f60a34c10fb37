"""Write examples/, one repository for each CI platform, or with `--check` compare it with what `keyless setup` says."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from keyless.ci_files import PLATFORMS, Job
from keyless.ci_files.publisher import NEEDS, Identity, on_our_service, on_the_hub, settings_page
from keyless.resource import parse_resource

FOLDER: Final = Path(__file__).parent.parent / "examples"
SERVICE: Final = "https://hub.example.org"
RESOURCES: Final = tuple(parse_resource(text) for text in ("acme/awesome-model", "datasets/acme/awesome-data"))
REPOSITORIES: Final = {"circleci": "github.com/acme/widgets", "buildkite": "acme/widgets"}


def files() -> dict[Path, str]:
    """Return every file of the folder with its text."""
    found = {FOLDER / "README.md": _index()}
    for platform, write in PLATFORMS.items():
        file = write(Job(RESOURCES, endpoint=SERVICE))
        found[FOLDER / platform / file.path] = file.text
        found[FOLDER / platform / "README.md"] = _page(platform)
    return found


def _index() -> str:
    rows = [f"| [{name}]({name}/README.md) | `{write(Job(RESOURCES)).path}` |" for name, write in PLATFORMS.items()]
    lines = [
        "# Examples",
        "",
        "<!-- Written by scripts/examples.py from src/keyless/ci_files/. Do not edit. -->",
        "",
        "One repository for each CI platform: a job publishes a model and a dataset, and no secret is stored anywhere.",
        "`keyless setup` writes the same file for your own repository; [docs/setup.md](../docs/setup.md) says how.",
        "",
        "| platform | file |",
        "| --- | --- |",
        *rows,
        "",
    ]
    return "\n".join(lines)


def _page(platform: str) -> str:
    file = PLATFORMS[platform](Job(RESOURCES, endpoint=SERVICE))
    repository = REPOSITORIES.get(platform, "acme/widgets") if NEEDS[platform].repository else None
    identity = Identity(repository=repository)
    steps = on_our_service(platform, Job(RESOURCES, endpoint=SERVICE), identity)
    lines = [
        f"# {platform}",
        "",
        "<!-- Written by scripts/examples.py from src/keyless/ci_files/. Do not edit. -->",
        "",
        f"[`{file.path}`]({file.path}) publishes `{RESOURCES[0].short}` and `{RESOURCES[1].short}` to {SERVICE}.",
        "",
    ]
    lines += [*(f"- {sentence}" for sentence in file.before), ""] if file.before else []
    lines += [
        "The publishers, once, on the service:",
        "",
        "```console",
        *(f"$ {line}" for line in steps.commands),
        "```",
    ]
    if steps.missing:
        lines += [
            "",
            "| put in | found |",
            "| --- | --- |",
            *(f"| `{n}` | {_cell(where)} |" for n, where in steps.missing),
        ]
    if fields := on_the_hub(platform, Job(RESOURCES), identity):
        page = settings_page(RESOURCES[0], "https://huggingface.co")
        lines += ["", f"On the Hugging Face Hub leave `HF_ENDPOINT` out, and enter at {page} (and the dataset's):", ""]
        lines += ["| field | |", "| --- | --- |", *(f"| {name} | `{value}` |" for name, value in fields)]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not up to date")
    check = parser.parse_args().check
    wanted = files()
    there = {path: path.read_text(encoding="utf-8") for path in FOLDER.rglob("*") if path.is_file()}
    if check:
        wrong = sorted(str(p.relative_to(FOLDER)) for p in {*wanted, *there} if wanted.get(p) != there.get(p))
        if wrong:
            print(f"examples/ is not what keyless setup says: {', '.join(wrong)}; run scripts/{Path(__file__).name}")
        return 1 if wrong else 0
    for path in there.keys() - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if text.startswith("#!"):
            path.chmod(0o755)
    return 0


if __name__ == "__main__":
    sys.exit(main())
