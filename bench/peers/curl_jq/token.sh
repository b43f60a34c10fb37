#!/bin/sh
# What people write by hand in a workflow: mint with curl, take the token out with jq, exchange, take the answer out.
set -eu
id_token=$(curl -sS --fail -G -H "Authorization: Bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" \
  --data-urlencode "audience=$HF_ENDPOINT" "$ACTIONS_ID_TOKEN_REQUEST_URL" | jq -r .value)
curl -sS --fail "$HF_ENDPOINT/oauth/token" \
  --data-urlencode grant_type=urn:ietf:params:oauth:grant-type:token-exchange \
  --data-urlencode subject_token_type=urn:ietf:params:oauth:token-type:id_token \
  --data-urlencode "subject_token=$id_token" \
  --data-urlencode "resource=$HF_OIDC_RESOURCE" | jq -r .access_token
