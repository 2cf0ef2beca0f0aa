#!/usr/bin/env bash
# Fingerprints of what training gives at 2 epochs, ants and synthetic birds, every method: to see that a change of the
# code has changed no number. Two trees on one machine print the same lines, or the change says where and why not.
# usage: benchmarks/numbers.sh [TREE] [ANTS.yaml] [WEIGHTS] ; TREE is a checkout, this one by default; prints to stdout
# ONLY=ants and ONLY=birds do one of the two.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tree=$(cd "${1:-$here}" && pwd) data=${2:-$here/examples/ants.yaml}
weights=${3:-$here/../shared/weights/resnet18_trunk.safetensors}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
two=(--set part_epochs=2 --set posterior_epochs=2 --set label_epochs=2 --set em_epochs=2 --set em_epoch_steps=1)
methods=em,fine-tuning,multi-task,point-sup,pseudo-sup,uni-match,distillation,self-training,mask-only
train() { # NAME DATA OPTIONS...
    local name=$1
    shift
    (cd "$tree" && PYTHONPATH=$tree "$here/.venv/bin/python" -m coarseparts benchmark "$@" \
        --out "$out/$name" --seeds 0 --methods "$methods" "${two[@]}") > "$out/$name.log" 2>&1 || cat "$out/$name.log"
    "$here/.venv/bin/python" - "$out/$name" "$name" <<'PY'
import csv, hashlib, pathlib, sys
from safetensors.numpy import load_file

folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
for file in sorted(folder.glob("*/seed*/stages/*/best.safetensors")):
    digest = hashlib.sha256()
    for key, tensor in sorted(load_file(file).items()):
        digest.update(key.encode() + tensor.tobytes())
    print(name, "weights", file.parent.name, digest.hexdigest()[:16])
for row in csv.DictReader(open(folder / "results.csv")):
    print(name, "result", row["method"], *(row[key] for key in ("part_miou", "miou", "ci95_low", "ci95_high")))
PY
}
[[ ${ONLY:-ants} != ants ]] || train ants "$data" --weights "$weights"
[[ ${ONLY:-birds} != birds ]] || methods=em,fine-tuning train birds synthetic-birds
