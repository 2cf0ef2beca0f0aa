#!/usr/bin/env bash
# The remarks at the end of section 3.2, on synthetic birds with 30 part masks: which coarse label helps how much, boxes
# of parts among them; a box drawn filled or as two corners; one posterior for every subset of labels or one each.
# Every stage is shorter than in the other tables, so compare these rows with each other and not with those tables.
# usage: benchmarks/remarks.sh ; writes benchmarks/remarks.log and benchmarks/remarks.csv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source benchmarks/before.sh
data=examples/mixed_labels.yaml table=benchmarks/remarks.csv
one() {  # a name for the rows, then options
    local name=$1 run
    run="runs/remarks/${name//[^a-z]/-}"
    shift
    echo "\$ coarseparts compare $data --methods em $*"
    .venv/bin/coarseparts compare "$data" "${before[@]}" --out "$run" --methods em --set em_epochs=3 "$@" 2>&1
    [ -s "$table" ] || head -1 "$run/results.csv" > "$table"
    # One table: the labels stand behind the method's name.
    tail -n +2 "$run/results.csv" | sed -E "s/^([^,]*),[^,]*,(([^,]*,){2}[^,]*),/\1,all,\2 ($name),/" >> "$table"
}
: > "$table"
{
    one "all labels"
    one "all labels and a posterior for each subset" --set posteriors=separate
    one "keypoints" --labels keypoints
    one "mask" --labels mask
    one "box" --labels box
    one "box as corners" --labels box --set box_corners=true
    one "boxes of parts" --labels part_boxes
} | tee benchmarks/remarks.log
