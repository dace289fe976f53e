"""What the gate judges by: the file of gates, margins from A/A runs, change against a baseline."""
