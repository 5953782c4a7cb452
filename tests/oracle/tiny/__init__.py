"""The parts of ../checkpoints.py, one file each."""
