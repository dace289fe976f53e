"""``python -m voxaudit``, as the console script: for torchrun."""

from voxaudit import main

main()
