"""One or two examples of each of the service's verbs, as its help shows them. A test parses every one."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = """\
keyless serve --config keyless.toml
KEYLESS_PUBLIC_URL=https://hub.example.org keyless serve
keyless serve --config keyless.toml --workers 4
keyless serve --config keyless.toml --check
keyless trust add acme/model --provider github --repository acme/train --branch main --pin-first-use
keyless trust add pypi/acme-wheel --provider gitlab --repository acme/wheel --tag 'v*' --project-id 20 --namespace-id 72
keyless trust add acme/model --issuer https://ci.example.org --claim sub=pipeline:release
keyless trust list
keyless trust list --unused-for 90 --json
keyless trust show pub_0123456789abcdef
keyless trust edit pub_0123456789abcdef --branch main --branch 'release-*' --max-run-attempt 1
keyless trust edit pub_0123456789abcdef --ttl default
keyless trust resume pub_0123456789abcdef
keyless trust pause pub_0123456789abcdef --reason "the workflow leaked"
keyless trust remove pub_0123456789abcdef
keyless trust explain acme/model --claims job.json --provider github
keyless trust lock acme/model --reason "under investigation"
keyless trust lock --namespace acme
keyless trust unlock acme/model
keyless trust locks
keyless trust publishers-only acme/model
keyless trust created acme/model
keyless trust lint --strict
keyless trust lint --ignore whole-repository --unused-days 30
keyless trust test trust-test.toml
keyless trust plan policy.toml
keyless trust plan policy.toml --prune --exit-code
keyless trust apply policy.toml --prune
keyless trust schema
keyless trust issuer add https://gitlab.example.org --kind gitlab --network private=10.0.0.0/8
keyless trust issuer list
keyless trust issuer keys https://gitlab.example.org
keyless trust issuer refresh https://gitlab.example.org
keyless trust issuer pin-keys https://gitlab.example.org --jwks-file keys.json --jwks-expires 90d
keyless trust issuer unpin-keys https://gitlab.example.org
keyless trust issuer distrust https://gitlab.example.org 2026-10-key
keyless trust issuer enable https://gitlab.example.org
keyless trust issuer disable https://gitlab.example.org
keyless trust resource-server add hub --audience https://hub.example.org
keyless trust resource-server list
keyless trust resource-server credential hub
keyless trust resource-server remove hub
keyless audit list --resource acme/model --since 7d
keyless audit list --kind exchange.refused --json
keyless audit show 019a0000-0000-7000-8000-000000000000
keyless audit verify --checkpoint /mnt/elsewhere/checkpoints.jsonl
keyless audit export --jsonl --since 2026-01-01 --output audit.jsonl
keyless audit prune --before 365d
keyless audit seal
keyless audit key
keyless keys list
keyless keys certificates
keyless keys rotate --now
keyless keys retire 2026-10-key
keyless keys distrust 2026-10-key
keyless db upgrade --db postgresql://owner@db.internal/keyless --server-role keyless_server
keyless db check --audit
keyless db backup /var/backups/keyless-2027-01-31.db
keyless db restore /var/backups/keyless-2027-01-31.db
keyless db copy --to postgresql://owner@db.internal/keyless
keyless db grants keyless_server
keyless admin bootstrap
keyless admin code --for bob --url http://127.0.0.1:8081
keyless admin login --url http://127.0.0.1:8081 --name alice
keyless admin logout --url http://127.0.0.1:8081
keyless admin whoami --url http://127.0.0.1:8081
keyless admin person add bob --role owner:acme
keyless admin person add plan-bot --machine --role viewer:acme
keyless admin person list
keyless admin person roles bob --role owner:acme --role viewer:widgets
keyless admin person show bob
keyless admin person enable bob
keyless admin person disable bob
keyless admin person remove bob
keyless admin token --for plan-bot --expires 90d --file plan-bot.token
keyless admin logins bob
keyless admin end-login bob lgn_0123456789abcdef
keyless demo
keyless demo --hf .venvs/hf/bin/hf --serve
"""
_ANOTHER_NAME: Final = {"enable": "resume", "disable": "pause"}


def examples_of(prog: str) -> list[str]:
    """Return the examples of a verb by its full name, `keyless trust add`; of another name those of the first."""
    *words, last = prog.split()
    names = {prog, " ".join([*words, _ANOTHER_NAME.get(last, last)])}
    return [line for line in EXAMPLES.splitlines() if any(_is_of(line, name) for name in names)]


def _is_of(line: str, name: str) -> bool:
    call = line[line.index("keyless ") :]
    return call == name or call.startswith(f"{name} ")
