# Kernels and initrds on /boot.
# needs: complain free_space name_at_boot
# shellcheck shell=sh

# kernels_on_boot: whether kernels and initrds are copied to /boot: it is a file system of its own, and the boot loader keeps
# such files there.
kernels_on_boot() {
    [ -d /boot/EFI/nixos ] || [ -d /boot/kernels ] || return 1
    # shellcheck disable=SC2046 # two words
    set -- $(stat -c %d /boot /nix)
    [ "$1" != "$2" ]
}

# boot_files_kib TOPLEVEL: what its kernels and initrds, those of its specialisations included, would take that are not on
# /boot yet. Their names there are made from their store paths.
boot_files_kib() {
    local counted file kib name part system
    kib=0
    counted=
    for system in "$1" "$1"/specialisation/*; do
        for part in kernel initrd; do
            file=$(readlink -f "$system/$part") && [ -f "$file" ] || continue
            case " $counted " in *" $file "*) continue ;; esac
            counted="$counted $file"
            name_at_boot "$file"
            set -- "/boot/EFI/nixos/$name"* "/boot/kernels/$name"*
            [ -e "$1" ] || [ -e "${2-}" ] || kib=$((kib + $(stat -c %s "$file") / 1024 + 1))
        done
    done
    echo "$kib"
}

# boot_files_fit: whether what $new needs fits on /boot; complains where not.
boot_files_fit() {
    local needed
    kernels_on_boot || return 0
    needed=$(boot_files_kib "$new")
    free_kib /boot
    [ "$needed" = 0 ] || [ "${free:-$needed}" -ge "$needed" ] || complain no-space "has $free KiB free on /boot, and needs \
$needed KiB for the kernel and the initrd of the new system; old generations can be removed with the module system_generations \
(the playbook generations); deploy_flake_min_free_space.boot, where it is 0, leaves it to the commit, which rolls back if they do not fit"
}
