# Sourced: former defaults, with which the tables of docs/results.md but the newest were made. newest: of before em.impute,
# augmentation.ramp, em.blank and augmentation.background; whole: of before the decoder that reads the image itself; sixteen: of
# before that, batches of 8 and 36 epochs from random numbers; before: of before averages, mirror images, a choice of what
# teaches, a posterior that learns of itself and rates that stay up for half of a stage, too.
newest=(--set em.impute=0 --set augmentation.ramp=0 --set em.blank=0 --set augmentation.background=0 --set augmentation.part_colours=0)
whole=(--set stages=4) # of a ResNet from weights; small ones from random numbers had three before, too
sixteen=("${newest[@]}" --set em_epochs=12 --set decoder=stride2 --set batch=16 --set labelled_batch=8 --set part_batch=16 --set epoch_steps=8 --set em_epoch_steps=64)
before=("${sixteen[@]}" --set flip=false --set part_average=0 --set em.teach=all --set em.consistency=0 --set rate_decay=0)
