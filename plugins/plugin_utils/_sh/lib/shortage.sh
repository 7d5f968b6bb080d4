# What a host may have too little of.
# needs: base free_space
# shellcheck shell=sh

# answer_memory: in KiB. No process is started: there may be no memory for one.
answer_memory() {
    local key kib
    while read -r key kib _; do
        case $key in
        MemTotal:) answer memory "$kib" ;;
        MemAvailable:) answer memory_available "$kib" ;;
        SwapTotal:) answer swap "$kib" ;;
        esac
    done </proc/meminfo
}

# answer_shortage: what a build has left of disk and memory.
answer_shortage() {
    free_kib /nix
    answer free "$free"
    answer total "$total"
    answer_memory
}
