#!/usr/bin/env bash
# Spreads the work of network cards over the cores: interrupts of receive queues (IRQ affinity), packets of cards with fewer
# queues than cores (RPS, RFS), and transmit queues (XPS). Each line that it writes has its reason beside it, and every file can be read
# to see what holds. Nothing of it survives a reboot: run it from a unit that is ordered before the hub.
#
#   tuning/affinity.sh --dry-run            what it would write, and what is there now
#   tuning/affinity.sh [--cpus LIST] [CARD…]
#
# Without names it takes every card with a device behind it, so no loopback, bridge or tunnel. A card with one queue, or none of
# these files, is left as it is as far as they are missing. --root (or ROOT) is for tests: a folder in place of /.
set -euo pipefail

root=${ROOT:-}
dry_run=0
cpu_list=""
cards=()

usage() {
    echo "usage: affinity.sh [--dry-run] [--root FOLDER] [--cpus LIST] [CARD…]" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry_run=1 ;;
        --root) [ $# -ge 2 ] || usage; root=$2; shift ;;
        --cpus) [ $# -ge 2 ] || usage; cpu_list=$2; shift ;;
        -*) usage ;;
        *) cards+=("$1") ;;
    esac
    shift
done

failures=0

# plain VALUE: a mask without its leading zeros, which the kernel writes as it likes; anything else as it is.
plain() {
    local text=$1
    if [[ $text =~ ^[0-9a-f]{1,8}(,[0-9a-f]{8})*$ ]]; then
        while [[ $text == [0,]* ]]; do text=${text#?}; done
    fi
    echo "$text"
}

# put VALUE FILE WHY: writes a file of /sys or /proc, or says that it would.
put() {
    local value=$1 file=$2 why=$3 old
    [ -e "$file" ] || return 0
    old=$(cat "$file" 2>/dev/null || echo "?")
    if [ "$(plain "$old")" = "$(plain "$value")" ]; then
        echo "keep  $file = $value  # $why"
    elif [ "$dry_run" = 1 ]; then
        echo "would write  $file = $value (is $old)  # $why"
    elif (printf '%s\n' "$value" >"$file") 2>/dev/null; then
        echo "wrote  $file = $value (was $old)  # $why"
    else
        # Interrupts that the kernel manages itself (NVMe, some cards) refuse, and are spread already.
        echo "refused  $file = $value (is $old)  # $why" >&2
        failures=$((failures + 1))
    fi
}

# cpus_of LIST: the cores of a list such as 0,2-3, one a line.
cpus_of() {
    local part
    for part in ${1//,/ }; do
        [[ $part =~ ^[0-9]+(-[0-9]+)?$ ]] || { echo "affinity.sh: $1 is no list of cores such as 0,2-3" >&2; return 1; }
        seq "${part%-*}" "${part#*-}"
    done
}

# mask_of CPU…: the cores as the kernel's mask, groups of 32 bits in hexadecimal, the highest first.
mask_of() {
    local cpu group groups=() text="" highest=0
    for cpu in "$@"; do
        group=$((cpu / 32))
        [ "$group" -le "$highest" ] || highest=$group
        groups[group]=$((${groups[group]:-0} | 1 << (cpu % 32)))
    done
    for ((group = highest; group >= 0; group--)); do
        text+=$(printf '%s%08x' "${text:+,}" "${groups[group]:-0}")
    done
    echo "$text"
}

# queues_of CARD KIND: the numbers of its queues (kind rx or tx), in order.
queues_of() {
    local folder
    for folder in "$root/sys/class/net/$1/queues/$2"-*; do
        [ -d "$folder" ] && echo "${folder##*-}"
    done | sort -n
}

# interrupts_of CARD: its interrupts that carry packets: those of its device that are named after the card (eth0-TxRx-0), after
# the device (virtio0-input.0) or after its address (mlx5_comp0@pci:0000:03:00.0).
interrupts_of() {
    local card=$1 device folder number name
    device=$(basename "$(readlink -f "$root/sys/class/net/$card/device")")
    for folder in "$root/sys/class/net/$card/device/msi_irqs" "$root/sys/class/net/$card/device/../msi_irqs"; do
        [ -d "$folder" ] && ls "$folder"
    done | sort -nu | while read -r number; do
        name=$(sed -n "s/^ *$number:.* \([^ ]*\)\$/\1/p" "$root/proc/interrupts" 2>/dev/null)
        case $name in
            # Configuration and management, and completions of sends alone, follow nobody's reads.
            *-config | *-control | *-output.* | *mgmnt* | *async* | *:misc) ;;
            "$card" | *"$card"-* | "$device"-* | *@"pci:$device"*) echo "$number" ;;
        esac
    done
}

if [ -z "$cpu_list" ]; then
    cpu_list=$(cat "$root/sys/devices/system/cpu/online")
fi
cpus_text=$(cpus_of "$cpu_list") || exit 2
mapfile -t cpus <<<"$cpus_text"
all_cpus=$(mask_of "${cpus[@]}")

if [ ${#cards[@]} -eq 0 ]; then
    for folder in "$root"/sys/class/net/*; do
        [ -e "$folder/device" ] && cards+=("${folder##*/}")
    done
fi
if [ ${#cards[@]} -eq 0 ]; then
    echo "no card with a device behind it: nothing to do"
    exit 0
fi

if grep -qsx irqbalance "$root"/proc/[0-9]*/comm; then
    echo "irqbalance runs and will undo this: stop it, or ban these interrupts in its configuration" >&2
fi

for card in "${cards[@]}"; do
    if [ ! -d "$root/sys/class/net/$card" ]; then
        echo "affinity.sh: there is no card $card" >&2
        exit 1
    fi
    mapfile -t receive < <(queues_of "$card" rx)
    mapfile -t transmit < <(queues_of "$card" tx)
    mapfile -t interrupts < <(interrupts_of "$card")
    echo "$card: ${#receive[@]} receive and ${#transmit[@]} transmit queues, ${#interrupts[@]} interrupts, ${#cpus[@]} cores"

    # Every interrupt on a core of its own, in turns: on one core they keep it from its shard, and the others wait for it.
    # See: grep CARD /proc/interrupts, and the columns that grow.
    for i in "${!interrupts[@]}"; do
        put "${cpus[i % ${#cpus[@]}]}" "$root/proc/irq/${interrupts[i]}/smp_affinity_list" "a core of its own for each interrupt"
    done

    # Fewer queues than cores: the core of the interrupt hands packets on by their flow, and RFS to the core whose shard reads
    # them. As many queues as cores: the card has spread them already, and handing on would only cost a second interrupt.
    # See: /proc/net/softnet_stat, the tenth column (packets that came from another core).
    if [ "${#receive[@]}" -lt "${#cpus[@]}" ]; then
        put 32768 "$root/proc/sys/net/core/rps_sock_flow_entries" "flows whose core is remembered (RFS)"
        for queue in "${receive[@]}"; do
            put "$all_cpus" "$root/sys/class/net/$card/queues/rx-$queue/rps_cpus" "fewer queues than cores: packets are handed on (RPS)"
            put $((32768 / ${#receive[@]})) "$root/sys/class/net/$card/queues/rx-$queue/rps_flow_cnt" "this queue's part of those flows (RFS)"
        done
    else
        nobody=$(mask_of "${cpus[0]}" | tr '[:xdigit:]' 0)
        for queue in "${receive[@]}"; do
            put "$nobody" "$root/sys/class/net/$card/queues/rx-$queue/rps_cpus" "a queue for each core: packets stay where they come in"
        done
    fi

    # A transmit queue for each core, so that no two shards wait for the lock of one. With one queue there is nothing to
    # choose, and the kernel refuses the write. See: tc -s qdisc show dev CARD, ethtool -S CARD (packets of each queue).
    if [ "${#transmit[@]}" -gt 1 ]; then
        for i in "${!transmit[@]}"; do
            mine=()
            for ((j = i; j < ${#cpus[@]}; j += ${#transmit[@]})); do mine+=("${cpus[j]}"); done
            [ ${#mine[@]} -gt 0 ] || continue
            put "$(mask_of "${mine[@]}")" "$root/sys/class/net/$card/queues/tx-${transmit[i]}/xps_cpus" "the cores that send through this queue (XPS)"
        done
    fi
done

if [ "$failures" -gt 0 ]; then
    echo "$failures writes were refused (are you root? is the interrupt managed by the kernel?)" >&2
    exit 1
fi
