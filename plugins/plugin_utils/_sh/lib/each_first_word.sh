# Lists of systemctl.
# needs: base
# shellcheck shell=sh

# each_first_word FUNCTION LINES: calls it with the first word of each line. Not by a pipe, which a shell reads byte by byte in
# a process of its own; nor by a here-document, since bash may write that to the disk, which may be full. No, if it failed once.
each_first_word() {
    local all_well each_line old_ifs
    all_well=yes
    old_ifs=$IFS
    IFS=$newline
    set -f
    for each_line in $2; do
        each_line=${each_line#"${each_line%%[! ]*}"}
        "$1" "${each_line%% *}" || all_well=no
    done
    set +f
    IFS=$old_ifs
    [ "$all_well" = yes ]
}

print_line() { printf '%s\n' "$1"; }
