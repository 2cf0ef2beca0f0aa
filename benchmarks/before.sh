# Sourced: the default of before averages, mirror images and a choice of what teaches, with which the tables of
# docs/results.md but the newest were made.
before=(--set flip=false --set part_average=0 --set em.teach=all)
