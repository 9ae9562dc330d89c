"""One folder a format. ``python -m gateway banks`` lists them; README.md tells how to add one."""
