# A soft-reboot: every process ends, and /run and what is live stay.
# facts: interpreter tools cgroup
# needs: base guard manager quote
# shellcheck shell=sh

# outlast_soft_reboot: it ends transient units, and starts what the new system brings. So a generator of units, which systemd runs when it
# starts and when it loads units anew, makes a guard where there is none any more. As long as there is one, it makes nothing.
# shellcheck disable=SC2016 # it expands them itself
outlast_soft_reboot() {
    [ -d "${generator%/*}" ] || mkdir -p "${generator%/*}"
    printf '%s\n' "#!$interpreter" \
        "[ -e $dir/program ] && [ ! -d /sys/fs/cgroup$cgroup ] && [ ! -d /sys/fs/cgroup${cgroup%/*}/$guard_unit ] || exit 0" \
        "PATH=$(quote "$tools")" "again=deploy-flake-again-$id.service" \
        'mkdir -p "$1/sysinit.target.wants" && ln -s "../$again" "$1/sysinit.target.wants/$again"' \
        'cat >"$1/$again" <<END' \
        "[Unit]" "Description=undoes deployment $id, which a soft-reboot has interrupted" "DefaultDependencies=no" \
        "Conflicts=shutdown.target" "Before=shutdown.target" "IgnoreOnIsolate=yes" "StartLimitIntervalSec=0" \
        "After=-.mount boot.mount efi.mount boot-efi.mount nix.mount nix-store.mount nix-var.mount var.mount var-lib.mount" \
        "[Service]" "Type=exec" "ExecStart=$interpreter $dir/program guard-again $dir" "Restart=on-failure" "RestartSec=200ms" \
        "OOMPolicy=continue" "OOMScoreAdjust=-900" "UMask=0077" "END" >"$generator" && chmod 0700 "$generator"
}

# forget_soft_reboot: at the end of the deployment.
forget_soft_reboot() {
    [ ! -e "$generator" ] || rm -f "$generator"
    # Whom a soft-reboot has made the generator bring.
    [ ! -e "/run/systemd/generator/deploy-flake-again-$id.service" ] || sc daemon-reload
}

# guard_again: file systems are mounted and units started yet; each unit was started anew.
guard_again() {
    wait_for_jobs
    rm -f "$dir/invocations-new"
    guard
}
