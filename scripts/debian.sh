# shellcheck shell=bash
# Sourced by the scripts beside it: asks Debian's package manager for what is missing, and says what it did.
# Refuses to guess on other systems: there it names the packages and leaves the machine as it is.

# Packages among "$@" that are not installed, one a line.
missing_packages() {
    local package
    for package in "$@"; do
        [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    done
}

# True where install_packages may do its work: root, on Debian or something made from it.
can_install() {
    [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null && command -v dpkg-query >/dev/null
}

# install_packages NAME...: installs them, printing one line for each. Quiet unless it fails.
install_packages() {
    local log status=0
    log=$(mktemp)
    # A source that does not answer must not stop us: the packages may well come from another one.
    apt-get update -qq >"$log" 2>&1 </dev/null ||
        echo "warning: apt-get update reported errors; going on with the package lists there are" >&2
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        -o DPkg::Lock::Timeout=120 "$@" >>"$log" 2>&1 </dev/null || status=$?
    if [[ $status -ne 0 ]]; then
        echo "error: apt-get could not install: $*. Its last lines:" >&2
        tail -n 20 "$log" >&2
    else
        printf 'installed %s\n' "$@"
    fi
    rm -f "$log"
    return "$status"
}
