#!/bin/sh
# install.sh PACKAGE EMPTY_DIRECTORY: installs a package on a copy of this machine that
# takes all changes in memory, runs what it installs as the service would, and removes it.
# Runs under unshare --mount as root.
set -eu
mount -t tmpfs tmpfs "$2"
cd "$2"
mkdir upper work machine
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay machine
mount -t proc proc machine/proc
cp "$1" machine/signet.deb
cat >machine/inside.sh <<'END'
set -eu
say() { echo "== $*"; }
in_time() { i=0; until "$@"; do i=$((i + 1)); [ $i -lt 200 ]; sleep 0.1; done; }

say install
DEBIAN_FRONTEND=noninteractive dpkg -i /signet.deb 2>&1
say user
getent passwd signet | cut -d: -f1,5-
say hint
runuser -u signet -- signet users list 2>&1 || true
runuser -u signet -- signet users list --config /etc/signet/signet.yaml 2>&1 || true
runuser -u signet -- signet users list --data signet-data 2>&1 || true
SIGNET_LOG_LEVEL=debug signet users list 2>&1 || true
signet doctor 2>&1 || true
say check
runuser -u signet -- signet serve --config /etc/signet/signet.yaml --check

# What systemd does for the unit: StateDirectory, Environment, User, UMask, ExecStart.
install -d -m 0700 -o signet -g signet /var/lib/signet
umask 0077
SIGNET_CONFIG=/etc/signet/signet.yaml setpriv --reuid=signet --regid=signet --clear-groups \
	--no-new-privs --bounding-set=-all --inh-caps=-all \
	signet serve --listen 127.0.0.1:0 --ops-listen '' 2>/server.log &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
in_time test -S /var/lib/signet/control.sock
say users
echo 'correct horse battery staple' | runuser -u signet -- signet users add kyoko --config /etc/signet/signet.yaml --password-stdin
signet users list --config /etc/signet/signet.yaml | cut -d' ' -f1
say files
stat -c '%a %U %n' /var/lib/signet /var/lib/signet/*
kill $server
wait $server
trap - EXIT

say enable
systemctl enable signet 2>&1
say remove
dpkg -r signet 2>&1
ls /etc/systemd/system/multi-user.target.wants | grep signet || echo 'no link is left'
ls /etc/signet/signet.yaml
say purge
dpkg -P signet 2>&1
test ! -e /etc/signet && echo 'no configuration is left'
ls /var/lib/signet
END
chroot machine sh /inside.sh
