# A reboot of any kind: what an activation has written stays, and what only it keeps out cannot be told by anybody else. So a unit that is there as
# long as the deployment is open undoes at the boot what nobody has confirmed. Of the places where systemd looks for units this one is neither a
# generation's nor gone after a reboot.
# facts: interpreter tools
# sets: open_id at_boot
# needs: base directory durable lasting_unit process repair tested_boot_default undo
# shellcheck shell=sh

boot_unit=/etc/systemd/system.attached/deploy-flake-back-$place.service
kept_program=$var_dir/at-boot

# outlast_soft_reboot: durably, before anything is activated.
outlast_soft_reboot() {
    local wanted
    wanted=${boot_unit%/*}/multi-user.target.wants
    # Another one's is of no use.
    rm -rf "$kept_program"
    note_profile && mkdir -p "$wanted" "$kept_program/$id" &&
        cp "$dir/program" "$dir/settings" "$dir/facts" "$dir/about" "$dir/active" "$dir/invocations" "$kept_program/$id/" &&
        printf '%s\n' \
            "[Unit]" "Description=takes back deployment $id, which a reboot has interrupted" "ConditionPathExists=$var_dir/open.json" \
            "After=basic.target dbus.socket nix-daemon.socket remote-fs.target nss-user-lookup.target" "StartLimitIntervalSec=0" \
            "[Service]" "Type=exec" "Environment=PATH=$tools" "Restart=on-failure" "RestartSec=10s" \
            "ExecStart=$interpreter -c 'exec systemd-run --quiet --collect --wait --no-ask-password --service-type=exec --unit=$unit --description=deployment-$id $lasting \
$interpreter $kept_program/$id/program guard-again $kept_program/$id'" >"$boot_unit" && chmod 0644 "$boot_unit" &&
        ln -sf "../${boot_unit##*/}" "$wanted/${boot_unit##*/}" && sync -f "$kept_program" && sync -f "$wanted"
}

# forget_soft_reboot: at the end of the deployment.
forget_soft_reboot() {
    rm -f "$boot_unit" "${boot_unit%/*}/multi-user.target.wants/${boot_unit##*/}"
    rm -rf "$kept_program"
}

# guard_again: after a boot, under the name that is the lock. After a soft-reboot the deployment is there as it was.
guard_again() {
    local tries
    tries=0
    while [ -e "$run_dir/$id/settings" ] && [ "$tries" -lt 30 ]; do
        (load "$run_dir/$id" && cgroup=none && undo) || :
        tries=$((tries + 1))
        [ ! -e "$run_dir/$id/settings" ] || pause 1
    done
    at_boot=yes
    open_id=$(open_field id)
    [ "$open_id" != "$id" ] || {
        repair_after_power_loss || exit 1
    }
    forget_soft_reboot
}
