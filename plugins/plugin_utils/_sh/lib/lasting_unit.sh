# Units that go on until there is a final state.
# facts: interpreter
# sets: lasting
# needs: base
# shellcheck shell=sh

# Emergency mode, rescue and another target leave them alone; only a shutdown stops them, before the file systems go that they write to.
# Single mounts, since local-fs.target may itself be waited for.
lasting="-p DefaultDependencies=no -p Conflicts=shutdown.target -p Before=shutdown.target -p IgnoreOnIsolate=yes \
-p After=-.mount -p After=boot.mount -p After=efi.mount -p After=boot-efi.mount -p After=nix.mount -p After=nix-store.mount -p After=nix-var.mount \
-p After=var.mount -p After=var-lib.mount -p OOMPolicy=continue -p OOMScoreAdjust=-900 -p ManagedOOMPreference=omit -p WorkingDirectory=/ -p UMask=0077"

# machine_stopping: emergency and rescue are no shutdown; everything can be started there, as soon as what was to be stopped has stopped.
machine_stopping() { [ "$(sc is-system-running 2>/dev/null)" = stopping ]; }

# soft_reboot_begins: what lives on in /run is not over then.
soft_reboot_begins() { [ -n "$(sc list-jobs --plain --no-legend soft-reboot.target systemd-soft-reboot.service 2>/dev/null)" ]; }

# come_back_after_soft_reboot: it ends transient units. This one the next start of systemd finds, as long as the deployment is not over.
come_back_after_soft_reboot() {
    local again
    again=deploy-flake-again-$id.service
    # Which units run what is another question then.
    rm -f "$dir/invocations-new"
    mkdir -p /run/systemd/system/sysinit.target.wants
    cat >"/run/systemd/system/$again" <<END
[Unit]
Description=undoes deployment $id, which a soft-reboot has interrupted
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
IgnoreOnIsolate=yes
ConditionPathExists=$dir/program
StartLimitIntervalSec=0
[Service]
Type=exec
ExecStart=$interpreter $dir/program guard $dir
Restart=on-failure
RestartSec=200ms
OOMPolicy=continue
OOMScoreAdjust=-900
UMask=0077
END
    ln -sf "../$again" "/run/systemd/system/sysinit.target.wants/$again"
}

# stay_away_after_soft_reboot: what come_back_after_soft_reboot has made goes.
stay_away_after_soft_reboot() {
    [ ! -e "/run/systemd/system/deploy-flake-again-$id.service" ] ||
        rm -f "/run/systemd/system/deploy-flake-again-$id.service" "/run/systemd/system/sysinit.target.wants/deploy-flake-again-$id.service"
}
