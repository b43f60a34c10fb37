#!/usr/bin/env bash
# The whole of action.yml: the keyless command on the PATH, and a token where a resource is given. Nothing is installed:
# the client is pure Python without dependencies, and comes with the action at the commit that the workflow names.
set -euo pipefail

fail() { # fail MESSAGE
  echo "::error title=keyless::$1"
  exit 2
}

quote() { # quote WORD, for the shell of the launcher
  printf "'%s'" "${1//\'/\'\\\'\'}"
}

python=
probe='import sys; print(sys.executable); sys.exit(sys.version_info < (3, 11))'
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
  if found=$("$candidate" -I -S -c "$probe" 2>/dev/null); then
    python=$found
    break
  fi
done
[[ -n $python ]] || fail "Python 3.11 or newer is needed on this runner; run actions/setup-python in a step before"

source_folder=$(cd "${BASH_SOURCE[0]%/*}/../src" && pwd)
folder=$(mktemp -d "${RUNNER_TEMP:?is not set: this is not a GitHub job}/keyless-command-XXXXXX")
# -I -S: neither the workspace nor what another step installed comes between the job's id token and this code.
cat >"$folder/keyless" <<LAUNCHER
#!/bin/sh
exec $(quote "$python") -I -S -c 'import sys
sys.path.insert(0, sys.argv.pop(1))
from keyless.cli.main import main
sys.exit(main())' $(quote "$source_folder") "\$@"
LAUNCHER
chmod 755 "$folder/keyless"
echo "$folder" >>"$GITHUB_PATH"

if [[ -z ${INPUT_RESOURCE:-} ]]; then
  [[ -z ${INPUT_VARIABLE:-} ]] || fail "variable is given without the resource whose token it is to hold"
  exit 0
fi
if [[ -n ${INPUT_VARIABLE:-} && ! $INPUT_VARIABLE =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]]; then
  fail "variable is not the name of a variable"
fi
words=(--resource "$INPUT_RESOURCE" --format github-env) # masks the token before it is printed
[[ -z ${INPUT_ENDPOINT:-} ]] || words+=(--endpoint "$INPUT_ENDPOINT")
line=$("$folder/keyless" token "${words[@]}")
token=${line#HF_TOKEN=}
echo "token=$token" >>"$GITHUB_OUTPUT"
[[ -z ${INPUT_VARIABLE:-} ]] || echo "$INPUT_VARIABLE=$token" >>"$GITHUB_ENV"
