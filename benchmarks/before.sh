# Sourced: the default of before averages, mirror images, a choice of what teaches, a posterior that learns of itself and
# rates that stay up for half of a stage, with which the tables of docs/results.md but the newest were made.
before=(--set flip=false --set part_average=0 --set em.teach=all --set em.consistency=0 --set rate_decay=0)
