# Shared by the lane scripts: where things are kept, messages, packages, names.
# Sourced, never run.  Every script sets: set -euo pipefail.

LANES=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
PROJECT=$(cd -- "$LANES/../.." && pwd -P)
CACHE=${PYOCI_LANES_CACHE:-/var/cache/pyoci-lanes}
LIB=$LANES/lib

say() { printf 'lanes: %s\n' "$*" >&2; }

die() { say "$*"; exit 125; }

need_root() { [ "$(id -u)" = 0 ] || die "this needs root: namespaces, mounts, cgroups"; }

# need_tools TOOL=PACKAGE...: installs the packages of those tools that are missing.
need_tools() {
    local pair missing=()
    for pair; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    # One apt at a time, also when several lanes find the same gap.
    (
        mkdir -p "$CACHE"
        flock 8
        export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update
        apt-get -qq install -y --no-install-recommends "${missing[@]}"
    ) 8>"$CACHE/apt.lock" >"$CACHE/apt.log" 2>&1 || { cat "$CACHE/apt.log" >&2; die "apt-get install failed"; }
}

# mirror_of WORD: the address of the machine's own Debian mirror whose suite contains WORD
# ("-security") or, with an empty WORD, of the main one.
mirror_of() {
    local found
    if [ -n "$1" ]; then
        found=$(apt-get indextargets --format '$(SITE) $(SUITE) $(CODENAME)' 'Created-By: Packages' | grep -e "$1" | head -n 1) || true
    else
        found=$(apt-get indextargets --format '$(SITE) $(SUITE) $(CODENAME)' 'Created-By: Packages' |
            grep -E '/debian/? ' | grep -v -e -security | head -n 1) || true
    fi
    if [ -n "$found" ]; then
        printf '%s\n' "${found%% *}"
    else
        printf 'http://deb.debian.org/debian%s\n' "$1"
    fi
}

# write_sources TREE SUITE: /etc/apt/sources.list of a tree, from the machine's own mirror.
write_sources() {
    local main security
    main=$(mirror_of '')
    security=$(mirror_of -security)
    cat >"$1/etc/apt/sources.list" <<END
deb $main $2 main
deb $main $2-updates main
deb $security $2-security main
END
}

# copy_network_settings TREE: what this machine needs to reach its mirrors, made the tree's own:
# resolver, proxy and certificate settings of apt, pip and the environment.
copy_network_settings() {
    local tree=$1 file
    rm -f "$tree/etc/resolv.conf"
    cp -L /etc/resolv.conf "$tree/etc/resolv.conf"
    mkdir -p "$tree/etc/apt/apt.conf.d" "$tree/usr/local/share/ca-certificates" "$tree/etc/ssl/certs"
    for file in /etc/apt/apt.conf /etc/apt/apt.conf.d/*; do
        if grep -qisE '^[^#/]*acquire.*(proxy|check-)' "$file"; then
            cp -L "$file" "$tree/etc/apt/apt.conf.d/50machine-$(basename "$file")"
        fi
    done
    if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
        cp -L /usr/local/share/ca-certificates/*.crt "$tree/usr/local/share/ca-certificates/"
    fi
    for file in /etc/ssl/certs/ca-certificates.crt /etc/pip.conf; do
        if [ -f "$file" ]; then cp -L "$file" "$tree$file"; fi
    done
    for file in .config/pip/pip.conf .pip/pip.conf .config/go/env; do
        if [ -f "${HOME:-/root}/$file" ]; then
            mkdir -p "$tree/root/$(dirname "$file")"
            cp -L "${HOME:-/root}/$file" "$tree/root/$file"
        fi
    done
}

# network_environment: the NAME=VALUE words of the environment that the network needs, one a line.
# PIP_FIND_LINKS and the like name directories of this machine and stay here.
network_environment() {
    env | grep -E '^(https?_proxy|ftp_proxy|no_proxy|HTTPS?_PROXY|NO_PROXY|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|GIT_SSL_CAINFO|PIP_CERT|PIP_INDEX_URL|PIP_EXTRA_INDEX_URL|PIP_DEFAULT_TIMEOUT|PIP_TRUSTED_HOST|GOPROXY|GONOSUMDB|GONOPROXY|GOSUMDB|GOFLAGS)=' || true
}

# hash_of FILE...: one short name for the contents of these files.
hash_of() { cat -- "$@" | sha256sum | cut -c1-16; }

tree_key() { hash_of "$LANES/packages/trixie.txt" "$LIB/build-tree"; }

tree_dir() { printf '%s/tree-%s\n' "$CACHE" "$(tree_key)"; }

# project_files: the names of the project's files, tracked or not ignored, that go into the installed
# runtime, NUL-terminated and sorted.
project_files() {
    local prune=(./tests ./docs ./conformance ./.ci ./.venv ./build ./.cache ./.git)
    if git -C "$PROJECT" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git -C "$PROJECT" ls-files -z --cached --others --exclude-standard -- . \
            ':!tests' ':!docs' ':!conformance' ':!.ci' |
            (cd "$PROJECT" && while IFS= read -r -d '' name; do [ ! -f "$name" ] || printf '%s\0' "$name"; done)
    else
        (
            cd "$PROJECT"
            local words=() name
            for name in "${prune[@]}"; do words+=(-path "$name" -prune -o); done
            find . "${words[@]}" -name __pycache__ -prune -o -type f -printf '%P\0'
        )
    fi | LC_ALL=C sort -z
}

# source_key DIR: one short name for those files, as they are in DIR (the project or a copy), and for the tree.
source_key() {
    (
        tree_key
        cat "$LIB/install-pyoci"
        cd "$1"
        if [ "$1" = "$PROJECT" ]; then project_files; else find . -type f -printf '%P\0' | LC_ALL=C sort -z; fi |
            xargs -0 sha256sum --
    ) | sha256sum | cut -c1-16
}
