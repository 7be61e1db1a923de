# shellcheck shell=bash disable=SC2154
# Sourced by run: the Debian package on a fresh Debian 12, which is booted in a container of systemd's where that can be: installed,
# given its one line of configuration, upgraded while somebody publishes, without and with a socket that systemd holds, removed,
# installed again, purged.

packaged_key=0123456789abcdef0123456789abcdef
# Of the publications.
number=0

debian_package() {
    # packaged REVISION: the package of the binary that is there.
    packaged() { (cd "$root" && cargo deb --quiet --profile dist --no-build --no-strip --fast --deb-revision "$1" --output "$work/petasos-$1.deb"); }
    packaged 1
    packaged 2
    # There is no manual page but --help, no bug of Debian to close; and nobody else is to read the key.
    lintian --fail-on error,warning --suppress-tags no-manual-page,initial-upload-closes-no-bugs,non-standard-file-perm "$work/petasos-1.deb"
    local debian="$work/debian" sources=()
    # The mirrors of this host, where it is a Debian 12 itself.
    grep -q '^VERSION_CODENAME=bookworm' /etc/os-release && mapfile -t sources < <(ls /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null)
    mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Retries "5"' --include=systemd-sysv,dbus,adduser,ca-certificates bookworm "$debian" "${sources[@]}" || {
        # What the mirrors do is not the package's doing.
        echo "SKIPPED: no fresh Debian can be had here"
        return 0
    }
    cp "$work"/petasos-?.deb "$debian/"
    # Booted, with a network of its own, so that port 80 is free. (nspawn allows io_uring by name alone, as a container does.)
    systemd-nspawn --quiet --directory="$debian" --machine="petasos-$$" --register=no --keep-unit --boot --console=pipe --private-network \
        --system-call-filter='io_uring_setup io_uring_enter io_uring_register' >"$work/boot.log" 2>&1 </dev/null &
    pids+=($!)
    local manager=""
    for _ in $(seq 200); do
        manager=$(pgrep -P "${pids[-1]}" -x systemd || true)
        if [ -n "$manager" ] && [ -S "/proc/$manager/root/run/dbus/system_bus_socket" ]; then break; fi
        manager=""
        kill -0 "${pids[-1]}" 2>/dev/null || break
        sleep 0.1
    done
    local clean=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive)
    if [ -n "$manager" ]; then
        there() { nsenter --target "$manager" --mount --uts --ipc --net --pid --root --wd "${clean[@]}" "$@"; }
    else
        echo "SKIPPED: systemd does not boot in a container here; the package is installed, and its service not started"
        tail -n 5 "$work/boot.log" >&2
        mount -t proc proc "$debian/proc"
        there() { chroot "$debian" "${clean[@]}" "$@"; }
    fi

    installed 1
    [ "$(there systemctl is-enabled petasos)" = enabled ] || fail "it does not start with the host"
    [ "$(there systemctl is-enabled petasos.socket || true)" = disabled ] || fail "nobody has asked for the socket"
    cmp "$root/tuning/petasos.service" "$debian/usr/lib/systemd/system/petasos.service"
    cmp "$root/tuning/petasos.socket" "$debian/usr/lib/systemd/system/petasos.socket"
    cmp "$root/tuning/petasos.sysctl.conf" "$debian/usr/lib/sysctl.d/90-petasos.conf"
    [ "$(there stat -c '%U %a' /etc/petasos/petasos.env)" = 'root 600' ] || fail "others can read the key"
    there id petasos >/dev/null
    grep -q 'put JWT_KEY' "$work/install" || { cat "$work/install"; fail "nobody is told what is missing"; }
    # The one line of configuration.
    echo "JWT_KEY=$packaged_key" >>"$debian/etc/petasos/petasos.env"
    if [ -n "$manager" ]; then packaged_service; else installed 2; fi
    if grep -q 'put JWT_KEY' "$work/install"; then fail "an upgrade asks for a key that is there"; fi
    grep -q "^JWT_KEY=$packaged_key" "$debian/etc/petasos/petasos.env" || fail "an upgrade has lost the settings"
    there apt-get purge -y -q petasos >"$work/purge" 2>&1 || { cat "$work/purge"; fail "it cannot be purged"; }
    for left in etc/petasos var/lib/petasos var/lib/private/petasos usr/bin/petasos usr/share/doc/petasos \
        etc/systemd/system/multi-user.target.wants/petasos.service etc/systemd/system/sockets.target.wants/petasos.socket; do
        if [ -e "$debian/$left" ] || [ -L "$debian/$left" ]; then fail "purging it leaves $left"; fi
    done
    if [ -n "$manager" ]; then
        kill "${pids[-1]}"
        gone "${pids[-1]}"
    else
        umount "$debian/proc"
    fi
}

# installed REVISION: the package of this revision is, whatever was there.
installed() {
    there apt-get install -y -q --reinstall "./petasos-$1.deb" >"$work/install" 2>&1 || { cat "$work/install"; fail "it cannot be installed"; }
}

# packaged_service: the service of the package, started, upgraded without and with a socket, removed and installed again.
packaged_service() {
    [ "$(there systemctl is-active petasos || true)" = inactive ] || fail "it has been started without a key"
    there systemctl restart petasos || { there journalctl -u petasos --no-pager; fail "it does not start with a key"; }
    there petasos health http://127.0.0.1
    [ "$(there systemctl show -P User petasos)" = petasos ] || fail "it runs as another user"
    [ "$(there stat -c '%U %a' /var/lib/petasos/updates.db)" = 'petasos 600' ] || fail "others can read the history"
    there systemd-analyze security --no-pager petasos | tail -n 1
    there systemd-analyze security --no-pager --threshold=15 petasos >/dev/null || fail "the sandbox is not what docs/deployment.md says"
    there journalctl -u petasos --no-pager --output=cat | grep -E '^(warn|fail) ' || true

    token=$(there env "JWT_KEY=$packaged_key" petasos token --publish '*' --subscribe '*')
    : >"$work/acknowledged"
    first=$(there systemctl show -P MainPID petasos)
    publishing refused.without 2
    second=$(there systemctl show -P MainPID petasos)
    if [ "$first" = "$second" ] || [ "$second" = 0 ]; then fail "an upgrade does not start the hub anew"; fi
    # shellcheck disable=SC2016
    [ "$(there dpkg-query -W -f '${Version}' petasos | sed 's/.*-//')" = 2 ]
    kept
    # docs/upgrade.md, with the package.
    there systemctl stop petasos
    there systemctl enable --quiet --now petasos.socket petasos
    publishing refused.with 2
    if [ -s "$work/refused.with" ]; then fail "$(wc -l <"$work/refused.with") publications were refused during an upgrade with a held socket"; fi
    [ "$(there systemctl is-enabled petasos.socket)" = enabled ] || fail "an upgrade switches the socket off"
    [ "$(there systemctl show -P MainPID petasos)" != "$second" ] || fail "an upgrade does not start the hub anew, with a socket"
    kept
    there apt-get remove -y -q petasos >"$work/remove" 2>&1 || { cat "$work/remove"; fail "it cannot be removed"; }
    for unit in petasos.service petasos.socket; do
        [ "$(there systemctl is-active "$unit" || true)" = inactive ] || fail "removing the package leaves $unit running"
    done
    installed 2
    there petasos health http://127.0.0.1
    [ "$(there systemctl is-active petasos.socket)" = active ] || fail "the socket is not held again"
    kept
    echo "$(wc -l <"$work/refused.without") publications were refused during the upgrade without a held socket, none with it"
}

# publishing FILE REVISION: publications one after the other, while the package of this revision is installed; the numbers of those
# that were not acknowledged go to the file.
publishing() {
    rm -f "$work/enough"
    : >"$work/$1"
    while [ ! -e "$work/enough" ]; do
        number=$((number + 1))
        if through_packaged -f --max-time 60 -d topic=https://example.com/packaged -d "data=$number" >/dev/null 2>&1; then
            echo "$number" >>"$work/acknowledged"
        else
            echo "$number" >>"$work/$1"
            sleep 0.05
        fi
        echo "$number" >"$work/number"
    done &
    local publisher=$!
    sleep 1
    installed "$2"
    sleep 1
    touch "$work/enough"
    wait "$publisher"
    number=$(cat "$work/number")
}
through_packaged() { nsenter --target "$manager" --net curl -sS -H "Authorization: Bearer $token" "$@" "http://127.0.0.1$hub"; }

# kept: the history has what was acknowledged, in its order.
kept() {
    through_packaged -N --max-time 3 -G -H 'Last-Event-ID: earliest' -d topic=https://example.com/packaged 2>/dev/null |
        sed -n 's/^data: //p' >"$work/replayed" || true
    # What was stored and not acknowledged, because its connection was closed, may be there as well.
    python3 - "$work/acknowledged" "$work/replayed" <<'END'
import sys
acknowledged, replayed = (open(path).read().split() for path in sys.argv[1:])
missing = set(acknowledged) - set(replayed)
assert not missing, f"lost: {sorted(missing, key=int)}"
assert len(set(replayed)) == len(replayed) and replayed == sorted(replayed, key=int), "twice, or in another order"
print(f"{len(acknowledged)} publications were acknowledged and are in the history, in their order")
END
}
