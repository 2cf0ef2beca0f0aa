#!/usr/bin/env bash
# How long the demonstration takes once everything is installed, and what its table says.
# usage: benchmarks/demo.sh ; writes benchmarks/demo.log
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
{
    echo "coarseparts demo --out runs/demo"
    grep -m1 "model name" /proc/cpuinfo | cut -d: -f2
    date -u +%H:%M:%S
    time .venv/bin/coarseparts demo --out runs/demo
} 2>&1 | tee benchmarks/demo.log
