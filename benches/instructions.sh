#!/usr/bin/env bash
# Instructions for each record, counted by callgrind: `benches/instructions.sh [STAGE]...`
#
# Each stage is done twice with different repetitions; the difference holds no start-up. Needs
# valgrind. A count does not depend on what else the machine does, unlike a time.
set -euo pipefail
cd "$(dirname "$0")/.."

stages=("$@")
[ ${#stages[@]} -gt 0 ] || stages=(
    'decode/compact/rollbook' 'decode/compact/owned structs'
    'decode/pretty/rollbook' 'decode/pretty/owned structs'
)
bench=$(cargo bench --locked --bench instructions --no-run --message-format json |
    sed -n 's/.*"executable":"\([^"]*instructions-[^"]*\)".*/\1/p')

# Prints instructions and records of a stage done so many times.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p; s/^\([0-9]*\) records$/\1/p'
}

for stage in "${stages[@]}"; do
    mapfile -t few < <(count "$stage" 1)
    mapfile -t many < <(count "$stage" 9)
    printf '%-32s %6d\n' "$stage" "$(((many[1] - few[1]) / (many[0] - few[0])))"
done
