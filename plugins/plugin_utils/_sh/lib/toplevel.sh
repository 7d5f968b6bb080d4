# What is activated of a toplevel, and whether that is for this host. Before it: $new.
# inputs: specialisation over_ssh allow
# needs: base allowed same_name
# shellcheck shell=sh

# choose_live_system: what is activated, in $new_live: the system itself, or one of its specialisations. The boot default is the system itself.
choose_live_system() {
    local one their_names
    new_live=$new
    if [ -n "$specialisation" ]; then
        new_live=
        case $specialisation in
        */* | . | ..) ;;
        *) [ ! -e "$new/specialisation/$specialisation" ] || new_live=$(leads_to "$new/specialisation/$specialisation") ;;
        esac
        their_names=
        for one in "$new"/specialisation/*; do
            [ ! -e "$one" ] || their_names="$their_names${their_names:+, }${one##*/}"
        done
        [ -n "$new_live" ] || refuse_system no-specialisation "has no specialisation '$specialisation' in $new, which has ${their_names:-none}"
    fi
}

# switch_is_off SYSTEM PART: why a system lacks it that is one.
switch_is_off() { [ "$2" != bin/switch-to-configuration ] || [ ! -e "$1/init" ] || echo "; does its configuration set system.switch.enable to false?"; }

# look_at_toplevel SYSTEM: refuses one that is not for this host.
look_at_toplevel() {
    local hostname_file its_name its_system no_name our_system part unit_file wanted
    for part in nixos-version bin/switch-to-configuration; do
        [ -e "$1/$part" ] || refuse_system not-a-system "refuses $1: it is not a NixOS system, it has no $part$(switch_is_off "$1" "$part")"
    done
    hostname_file=$1/etc/hostname
    if [ -e "$hostname_file" ] && ! allowed other_hostname; then
        read -r its_name <"$hostname_file"
        read_line /proc/sys/kernel/hostname
        no_name=
        case $line in nixos | localhost | '') no_name=", which may be no name of its own yet" ;; esac
        same_name "$its_name" "$line" || refuse_system other-hostname "refuses the new system: it is for a host named $its_name, and this one is $line$no_name. \
Name the configuration that is meant (deploy_flake_configuration), or allow 'other_hostname' (deploy_flake_allow), as for a fresh host, which is $its_name from then on"
    fi
    if [ "$over_ssh" = yes ] && ! allowed no_ssh && [ -d "$1/etc/systemd/system" ]; then
        wanted=no
        for unit_file in "$1"/etc/systemd/system/*.wants/sshd.service "$1"/etc/systemd/system/*.wants/ssh.service \
            "$1"/etc/systemd/system/*.wants/sshd.socket "$1"/etc/systemd/system/*.wants/ssh.socket; do
            [ ! -e "$unit_file" ] && [ ! -L "$unit_file" ] || wanted=yes
        done
        [ "$wanted" = yes ] || refuse_system no-ssh "refuses the new system: it starts no ssh unit, and this host is deployed over ssh. \
Set services.openssh.enable in its configuration, or allow 'no_ssh' (deploy_flake_allow) where a unit of another name starts it"
    fi
    if [ -r "$1/system" ] && [ -r /run/current-system/system ] && ! allowed other_architecture; then
        read -r its_system <"$1/system" || :
        read -r our_system </run/current-system/system || :
        [ "$its_system" = "$our_system" ] || refuse_system other-architecture "refuses the new system: it is for $its_system, and this host is $our_system; set nixpkgs.hostPlatform, \
or allow 'other_architecture' (deploy_flake_allow) where this host can run it"
    fi
}
