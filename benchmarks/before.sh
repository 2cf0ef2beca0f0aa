# Sourced: the default of before averages, mirror images and matched labels, with which the tables of docs/results.md but
# the newest were made.
before=(--set flip=false --set part_average=0 --set match_labels=false)
