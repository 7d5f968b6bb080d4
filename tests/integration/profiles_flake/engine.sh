# A stand-in for system-manager-engine. As that one it writes /etc for good, remembers what it has put there, stops what is not wanted any more,
# restarts what is another unit now, and exits 0 where that did not work, which it logs.
# shellcheck shell=sh
state=/var/lib/system-manager/state
units=/etc/systemd/system
mkdir -p "$state" /etc/lab "$units/multi-user.target.wants"
log() { echo "[$(date -u +%Y-%m-%dT%H:%M:%SZ) $1 system_manager_engine::activate] $2"; }
units_of() { [ ! -e "$1/services/services.json" ] || tr ',' '\n' <"$1/services/services.json" | sed -n 's/^{\{0,1\}"\([^"]*\.service\)":.*/\1/p'; }

old=$(cat "$state/generation" 2>/dev/null)
new=${2-}
[ -n "$new" ] || log INFO "Deactivating system-manager"
[ "$FAULT" != exit ] || { log ERROR "cannot go on" && exit 1; }
[ "$1" = prepopulate ] || for unit in $(units_of "$old"); do
    [ -n "$new" ] && [ -e "$new/units/$unit" ] || { systemctl stop "$unit" && rm -f "$units/$unit" "$units/multi-user.target.wants/$unit"; }
done
if [ -z "$new" ]; then
    rm -rf /etc/lab "$state/generation"
    systemctl daemon-reload
    exit 0
fi
log INFO "Activating etc files..."
ln -sfn "$new/etc/lab/version" /etc/lab/version
for unit in $(units_of "$new"); do ln -sfn "$new/units/$unit" "$units/$unit" && ln -sfn "../$unit" "$units/multi-user.target.wants/$unit"; done
[ "$1" != prepopulate ] || { echo "$new" >"$state/generation" && exit 0; }
[ "$FAULT" != hangs ] || sleep 1000
[ "$FAULT" != error ] || log ERROR "Error during activation: expected value at line 1 column 1"
systemctl daemon-reload
log INFO "Activating systemd services..."
for unit in $(units_of "$new"); do
    if [ "$old" != "$new" ] || ! systemctl --quiet is-active "$unit"; then
        systemctl restart "$unit" || log ERROR "restarting $unit"
    fi
done
echo "$new" >"$state/generation"
exit 0
