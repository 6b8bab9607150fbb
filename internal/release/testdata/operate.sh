#!/bin/sh
# operate.sh PACKAGES EMPTY_DIRECTORY: runs the commands of a page, from /page.sh there, on a
# copy of this machine that takes all changes in memory and has a network of its own.
# systemctl, sudo and apt-get are stood in for: no init runs there, and nothing is fetched.
# Runs under unshare --mount --net --pid as root; EMPTY_DIRECTORY holds page.sh, cert.pem,
# key.pem and ca.pem.
set -eu
given=$(mktemp -d)
cp "$2"/* "$given/"
mount -t tmpfs tmpfs "$2"
cd "$2"
mkdir upper work machine
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay machine
mount -t proc proc machine/proc
mkdir -p machine/operator/dist
cp "$1"/*.deb machine/operator/dist/
cp "$given"/* machine/operator/
rm -r "$given"
ip link set lo up

cat >machine/usr/local/sbin/systemctl <<'EOF'
#!/bin/bash
# Does what systemd does for the unit: Environment, User, StateDirectory, UMask,
# AmbientCapabilities, ExecStart, NOTIFY is left out.
unit=/usr/lib/systemd/system/signet.service
setting() { cat $unit /etc/systemd/system/signet.service.d/*.conf 2>/dev/null | sed -n "s/^$1=//p" | tail -n 1; }
pid() { cat /run/signet.pid 2>/dev/null; }
start() {
	install -d -m 0700 -o signet -g signet /var/lib/signet
	caps=$(setting AmbientCapabilities | tr 'A-Z' 'a-z' | sed 's/^cap_/+/')
	umask 0077
	setsid env "$(setting Environment)" setpriv --reuid=signet --regid=signet --clear-groups --no-new-privs \
		--inh-caps=-all${caps:+,$caps} --ambient-caps=-all${caps:+,$caps} --bounding-set=-all${caps:+,$caps} \
		$(setting ExecStart) </dev/null >>/var/log/signet.journal 2>&1 &
	echo $! >/run/signet.pid
	for i in $(seq 200); do
		[ ! -S /var/lib/signet/control.sock ] || return 0
		kill -0 $! || break
		sleep 0.1
	done
	cat /var/log/signet.journal >&2
	return 1
}
stop() {
	kill "$(pid)"
	while kill -0 "$(pid)" 2>/dev/null; do sleep 0.1; done
}
case "$*" in
daemon-reload) ;;
'enable --now signet') /usr/bin/systemctl enable signet && start ;;
'start signet') start ;;
'stop signet') stop ;;
'restart signet') stop && start ;;
'kill --signal=HUP signet.service') kill -HUP "$(pid)" ;;
*) exec /usr/bin/systemctl "$@" ;;
esac
EOF
cat >machine/usr/local/sbin/sudo <<'EOF'
#!/bin/sh
if [ "$1" = -u ]; then
	user=$2
	shift 2
	exec runuser -u "$user" -- "$@"
fi
exec "$@"
EOF
cat >machine/usr/local/sbin/apt-get <<'EOF'
#!/bin/sh
for file; do :; done
exec dpkg -i "$file"
EOF
chmod +x machine/usr/local/sbin/*
cat >machine/operator/run.sh <<'EOF'
cd /operator
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive
echo '127.0.0.1 login.example.com' >>/etc/hosts
cat ca.pem >>/etc/ssl/certs/ca-certificates.crt
chmod 755 /operator
. ./page.sh
kill "$(cat /run/signet.pid)"
EOF
chroot machine bash /operator/run.sh
