#!/bin/sh
set -eu
: "${KEYLESS_ID_TOKEN:?put the id token of this job into KEYLESS_ID_TOKEN}"
export HF_ENDPOINT=https://hub.example.org
python -m pip install huggingface_hub ./ci/keyless-0.1.0-py3-none-any.whl
keyless exec --resource acme/awesome-model -- hf upload acme/awesome-model ./model
keyless exec --resource datasets/acme/awesome-data -- hf upload acme/awesome-data ./data --repo-type dataset
