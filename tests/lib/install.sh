# shellcheck shell=bash disable=SC2154
# Sourced by tests/run: what the stages need beside Rust and a C compiler, and how it is installed.
#
# Packages come from apt-get, as root or with a sudo that asks no question. Nothing that a package brings is started or
# stays enabled. Tools that Debian does not have are built below the target folder.

# need COMMAND-OR-FILE PACKAGE…: notes what is missing, for `stage`, in the associative arrays `packages_of` and `lacking`.
declare -A packages_of=()
need() {
    local thing=$1
    shift
    is_there "$thing" || packages_of[$thing]=$*
    stage_needs[$stage]+=" $thing"
}

is_there() {
    case $1 in
        /*) [ -e "$1" ] ;;
        python3:*) python3 -c "import ${1#python3:}" 2>/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

declare -A stage_needs=()
declare_needs() {
    local stage=$1
    "needs_$stage"
}

needs_fast() { need cc gcc libc6-dev; }
needs_fuzz() { need cc gcc libc6-dev; }
needs_soak() { need cc gcc libc6-dev; }
needs_generator() { need cc gcc libc6-dev; }
needs_ring() { need cc gcc libc6-dev; }
needs_processes() {
    need cc gcc libc6-dev
    need curl curl
    need ip iproute2
    need setpriv util-linux
    need mount mount
    need mkfs.ext4 e2fsprogs
    need python3 python3
    # They judge the files of tuning/. No systemd has to run.
    need shellcheck shellcheck
    need systemd-analyze systemd
    # A certificate authority, and the DNS server that comes with it.
    need pebble pebble
    need pebble-challtestsrv pebble
    # It judges the page of metrics, and the alerts of deploy/.
    need promtool prometheus
}
needs_package() {
    need cc gcc libc6-dev
    need objcopy binutils
}
needs_clients() {
    needs_package
    need curl curl
    need openssl openssl
    need python3 python3
    need python3:venv python3-venv
    need python3:ensurepip python3-venv
    need node nodejs
    need npm npm
    need php php-cli
    need /usr/share/php/Symfony/Component/Mercure/autoload.php php-symfony-mercure
    need /usr/share/php/Symfony/Component/HttpClient/autoload.php php-symfony-http-client
    need chromium chromium
    need chromedriver chromium-driver
}
needs_examples() { needs_clients; }
needs_web() {
    needs_package
    need curl curl
    need openssl openssl
    need python3 python3
    need go golang-go
    need h2load nghttp2-client
    need nginx nginx-light
    need chromium chromium
    need chromedriver chromium-driver
    is_there testssl.sh || need testssl testssl.sh
}
needs_api() {
    needs_package
    need curl curl
    need python3 python3
    need python3:venv python3-venv
    need python3:ensurepip python3-venv
}
needs_deploy() {
    needs_package
    need curl curl
    need openssl openssl
    need shellcheck shellcheck
    need python3 python3
    need python3:yaml python3-yaml
    need lintian lintian
    need mmdebstrap mmdebstrap
    need systemd-nspawn systemd-container
    need dpkg-shlibdeps dpkg-dev
    need readelf binutils
    need buildah buildah
    need haproxy haproxy
    need caddy caddy
    need supervisord supervisor
    need pgrep procps
    need /etc/ssl/certs/ca-certificates.crt ca-certificates
}
needs_arm64() {
    needs_package
    need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    [ "$long" = 1 ] || return 0
    need qemu-aarch64-static qemu-user-static
    need curl curl
    need openssl openssl
    need buildah buildah
    need /etc/ssl/certs/ca-certificates.crt ca-certificates
}

# lacks STAGE: what the stage needs and this machine does not have, with the packages.
lacks() {
    local thing
    for thing in ${stage_needs[$1]:-}; do
        is_there "$thing" || echo "${thing#python3:} (Debian: ${packages_of[$thing]})"
    done | sort -u
}

installer() {
    if [ "$(id -u)" = 0 ]; then echo env; elif sudo -n true 2>/dev/null; then echo "sudo -n"; fi
}

# install_missing: one apt-get for everything that the chosen stages lack. It never fails: what is missing afterwards is
# seen by `lacks`.
install_missing() {
    local wanted as_root
    wanted=$(printf '%s\n' "${packages_of[@]}" | tr ' ' '\n' | sort -u | xargs)
    as_root=$(installer)
    # Left by a run that was killed.
    if [ -n "$as_root" ] && grep -qsxF "$policy_mark" "$policy"; then $as_root rm -f "$policy"; fi
    [ -n "$wanted" ] || return 0
    if [ "$may_install" = 0 ]; then
        echo "not installed, because of --no-install: $wanted"
        return 0
    elif [ -z "$as_root" ] || ! command -v apt-get >/dev/null; then
        echo "missing, and this user cannot install packages (neither root nor sudo without a password, or no apt-get):"
        echo "    apt-get install --no-install-recommends $wanted"
        return 0
    fi
    echo "installing with apt-get: $wanted"
    echo "    (no service is started or left enabled; a held package lock is waited for; output: $logs/install.log)"
    : >"$logs/install.log"
    keep_services_off "$as_root"
    apt_get "$as_root" update || echo "    apt-get update failed; trying with the lists that are here"
    # shellcheck disable=SC2086 # a list of packages
    apt_get "$as_root" install -y --no-install-recommends --no-remove $wanted || {
        echo "    apt-get failed; trying package by package:"
        tail -n 5 "$logs/install.log" | sed 's/^/    /'
        local package
        for package in $wanted; do
            apt_get "$as_root" install -y --no-install-recommends --no-remove "$package" || echo "    not installed: $package"
        done
    }
    release_services
}

# apt_get AS-ROOT ARGUMENT…: up to three tries over a network that fails, and up to ten minutes for a lock. (apt-get could wait
# for the lock of dpkg by itself, but not for the one of its lists, and it would not say so.)
apt_get() {
    local as_root=$1 tries=0 until=$((SECONDS + 600)) is_announced=0
    shift
    while :; do
        # shellcheck disable=SC2086 # "sudo -n" is two words
        if $as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=5 -o Acquire::Retries=3 \
            -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@" </dev/null >"$logs/apt.log" 2>&1
        then
            cat "$logs/apt.log" >>"$logs/install.log"
            return 0
        fi
        cat "$logs/apt.log" >>"$logs/install.log"
        if grep -qE 'Could not get lock|Unable to lock|is held by process' "$logs/apt.log" && [ "$SECONDS" -lt "$until" ]; then
            [ "$is_announced" = 1 ] || echo "    another program holds the package lock; waiting for up to ten minutes"
            is_announced=1
            sleep 3
        else
            tries=$((tries + 1))
            [ "$tries" -lt 3 ] || return 1
            sleep 5
        fi
    done
}

policy=/usr/sbin/policy-rc.d
policy_mark="# Written by tests/run of petasos, and removed by it."
# enabled_units: the links that start services; one of the folders may be missing.
enabled_units() { { find /etc/systemd/system /etc/systemd/user /etc/rc?.d -type l -name '[!K]*' 2>/dev/null || true; } | sort; }

has_policy=""
# keep_services_off AS-ROOT: packages that are installed from now on start nothing.
keep_services_off() {
    enabled_units >"$logs/enabled-before"
    has_policy=$1
    [ ! -e "$policy" ] || return 0
    printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$logs/policy-rc.d"
    # shellcheck disable=SC2086
    $1 install -m 755 "$logs/policy-rc.d" "$policy"
}

# release_services: disables what the packages have enabled, and lets services start again. Also when a run is interrupted.
release_services() {
    local as_root=$has_policy link unit off=()
    [ -n "$as_root" ] || return 0
    has_policy=""
    while IFS= read -r link; do
        unit=${link##*/}
        case $link in
            /etc/rc?.d/S*)
                unit=${unit#S[0-9][0-9]}
                $as_root update-rc.d "$unit" disable >>"$logs/install.log" 2>&1 || true
                ;;
            /etc/systemd/system/*)
                # It keeps the state in which an upgrade of the package leaves the unit.
                $as_root env DPKG_MAINTSCRIPT_PACKAGE=petasos-tests deb-systemd-helper disable "$unit" >>"$logs/install.log" 2>&1 || true
                $as_root rm -f "$link" || true
                ;;
            *) $as_root rm -f "$link" || true ;;
        esac
        off+=("$unit")
    done < <(enabled_units | comm -13 "$logs/enabled-before" -)
    [ ${#off[@]} -eq 0 ] || echo "    disabled again: $(printf '%s\n' "${off[@]}" | sort -u | xargs)"
    if grep -qsxF "$policy_mark" "$policy"; then $as_root rm -f "$policy" || echo "    remove $policy by hand"; fi
}

# Tools that Debian 12 does not have. A network that fails is no failure of the tests: the test that needs the tool is skipped.
# (Helm 3.18 takes Go 1.24, which is newer than Debian 12 has.)
extra_tools() {
    [ "$may_install" = 1 ] || return 0
    if ! command -v cargo-deb >/dev/null; then
        echo "-- tool: cargo-deb 3.8.0, below $tools"
        CARGO_TARGET_DIR="$target/tools-build" timeout 900 cargo install --quiet --locked --no-default-features --root "$tools" cargo-deb@3.8.0 ||
            echo "cargo-deb cannot be had"
    fi
    if ! command -v helm >/dev/null; then
        echo "-- tool: helm 3.18.6, below $tools"
        if go version 2>/dev/null | grep -qE 'go1\.(2[4-9]|[3-9][0-9])'; then
            GOBIN="$tools/bin" timeout 600 go install helm.sh/helm/v3/cmd/helm@v3.18.6 || echo "helm cannot be had"
        else
            echo "building helm takes Go 1.24"
        fi
    fi
}
