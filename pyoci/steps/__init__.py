"""What a step is and how steps are carried out; the steps are in the folders."""
