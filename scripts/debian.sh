# shellcheck shell=bash
# The other scripts source this file. It installs missing packages with Debian's package manager and reports what it
# installed. It changes nothing on other systems: there the scripts only name the packages.

# Prints the packages among "$@" that are not installed, one per line.
missing_packages() {
    local package
    for package in "$@"; do
        [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    done
}

# Whether install_packages works here: as root, on Debian or a derivative.
can_install() {
    [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null && command -v dpkg-query >/dev/null
}

# install_packages NAME...: installs packages and prints one line for each. Shows the output of apt-get only if it fails.
install_packages() {
    local log status=0
    log=$(mktemp)
    # Continue if a source does not answer: the packages may come from another one.
    apt-get update -qq >"$log" 2>&1 </dev/null ||
        echo "warning: apt-get update reported errors; continuing with the existing package lists" >&2
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

# install_without_services "UNIT..." NAME...: like install_packages, for packages that would start servers, now and at every
# boot. While their units are masked, they cannot.
install_without_services() {
    local units status=0
    read -ra units <<<"$1"
    shift
    systemd() { if [[ ${#units[@]} -gt 0 ]] && command -v systemctl >/dev/null; then systemctl "$@" "${units[@]}" >/dev/null 2>&1 || true; fi; }
    systemd mask
    install_packages "$@" || status=$?
    systemd unmask
    systemd disable
    return "$status"
}
