#!/bin/sh
# Gives HAProxy the keys that are published now; to be run after `signet keys rotate` and
# `signet keys revoke`. When it ends, no worker is left that believes those of before.
set -eu
cd "$(dirname "$0")"
./keys.sh
haproxy -c -q -f keys/keys.cfg -f haproxy.cfg
master=$(cat haproxy.pid)
workers=$(cat "/proc/$master/task/$master/children")
kill -USR2 "$master"
for worker in $workers; do # hard-stop-after bounds this
  while kill -0 "$worker" 2>/dev/null; do sleep 0.1; done
done
