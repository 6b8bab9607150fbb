#!/bin/sh
# Writes the published keys to keys/, each as KID.pem, and to keys/keys.cfg the rules that
# choose one by its kid: jwt_verify knows only files that the configuration names.
# SIGNET_DATA is the issuer's data directory. For an issuer on another machine:
# SIGNET='ssh issuer signet'
set -eu
cd "$(dirname "$0")"
signet=${SIGNET:-signet}

rm -rf keys.new
mkdir keys.new
# The allow-list of algorithms (RFC 8725 §3.1): each key is for its own one alone,
# and a token that names another in its header is not verified at all.
$signet keys list >keys.new/list
awk '$2 ~ /^(pending|active|retired)$/ && $1 ~ /^(ES256|RS256)$/ { print $1, $3 }' keys.new/list >keys.new/published
echo 'defaults keys' >keys.new/keys.cfg
while read -r alg kid; do
  case $kid in -* | *[!A-Za-z0-9_-]*) echo "keys.sh: not a kid of Signet: $kid" >&2; exit 1 ;; esac
  $signet keys export "$kid" --public </dev/null >"keys.new/$kid.pem"
  cat >>keys.new/keys.cfg <<RULE
    http-request set-var(txn.verified) http_auth_bearer,jwt_verify($alg,keys/$kid.pem) if { http_auth_bearer,jwt_header_query('\$.kid') -m str $kid } { http_auth_bearer,jwt_header_query('\$.alg') -m str $alg }
RULE
done <keys.new/published
rm -rf keys
mv keys.new keys
