#!/usr/bin/env bash
# Instructions for each record, counted by callgrind: `benches/instructions.sh [STAGE]...`
#
# Each stage is done a few times and many times; the difference holds no start-up. A count does not
# depend on what else the machine does, unlike a time. Needs valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."

stages=("$@")
[ ${#stages[@]} -gt 0 ] || stages=(
    'decode/compact/rollbook' 'decode/compact/owned structs'
    'decode/pretty/rollbook' 'decode/pretty/owned structs'
    'parquet/rollbook, zstd' 'parquet/defaults, none' 'ndjson/rollbook'
)
bench=$(cargo bench --locked --bench instructions --no-run --message-format json |
    sed -n 's/.*"executable":"\([^"]*instructions-[^"]*\)".*/\1/p')

# Prints instructions and records of a stage done so many times.
count() {
    local only=()
    # Without the hash of the part: valgrind's processor has no instruction for it, real ones do.
    [ "${1%%,*}" != 'parquet/rollbook' ] || only=('--toggle-collect=*ParquetEncoder*')
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "${only[@]}" "$bench" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p; s/^\([0-9]*\) records$/\1/p'
}

for stage in "${stages[@]}"; do
    mapfile -t few < <(count "$stage" 10)
    mapfile -t many < <(count "$stage" 60)
    printf '%-32s %6d\n' "$stage" "$(((many[1] - few[1]) / (many[0] - few[0])))"
done
